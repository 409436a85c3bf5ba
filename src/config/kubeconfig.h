// The file that kubectl finds its clusters in.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace headrace::config {

// One context of it.
struct Kubeconfig {
  // A text, or the path of a file with it, resolved against the kubeconfig's folder.
  struct Text {
    std::string text;
    std::string file;
    bool operator==(const Text&) const = default;
  };
  std::string server;  // A URL, as it is written.
  Text ca;
  Text certificate;
  Text key;
  Text token;
  bool verify = true;
  std::string server_name;             // Empty: the URL's host.
  std::string name_space = "default";  // Of the context.
  bool operator==(const Kubeconfig&) const = default;
};

// `context`: its name; empty: the current one. Files that it names are not read. The error is one
// sentence: what is wrong, where, the fix. It repeats no secret.
Result<Kubeconfig> ParseKubeconfig(std::string_view text, const std::string& file_name,
                                   const std::string& context);

}  // namespace headrace::config
