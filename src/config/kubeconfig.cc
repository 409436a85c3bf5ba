#include "config/kubeconfig.h"

#include <filesystem>
#include <optional>
#include <utility>

#include "base/base64.h"
#include "config/config_reader.h"
#include "config/yaml.h"

namespace headrace::config {
namespace {

class Reader {
 public:
  Reader(const YamlNode& root, const std::string& file_name) : root_(root), file_(file_name) {}

  Result<Kubeconfig> Read(const std::string& wanted) {
    const std::string context_name = wanted.empty() ? TextAt(root_, "current-context") : wanted;
    if (context_name.empty()) {
      return Fault(root_, "has no current-context; name one by `kubernetes: { context: … }`");
    }
    HEADRACE_ASSIGN(const YamlNode* const context, Item("contexts", context_name, "context"));
    HEADRACE_ASSIGN(const YamlNode* const cluster,
                    Item("clusters", TextAt(*context, "cluster"), "cluster"));
    Kubeconfig read;
    const std::string name_space = TextAt(*context, "namespace");
    if (!name_space.empty()) read.name_space = name_space;
    read.server = TextAt(*cluster, "server");
    if (read.server.empty()) {
      return Fault(*cluster, "has a cluster without `server`; add its URL");
    }
    read.server_name = TextAt(*cluster, "tls-server-name");
    read.verify = TextAt(*cluster, "insecure-skip-tls-verify") != "true";
    HEADRACE_ASSIGN(read.ca, Data(*cluster, "certificate-authority"));
    const std::string user_name = TextAt(*context, "user");
    if (user_name.empty()) return read;
    HEADRACE_ASSIGN(const YamlNode* const user, Item("users", user_name, "user"));
    for (const char* plugin : {"exec", "auth-provider"}) {
      const YamlNode* const node = user->Find(plugin);
      if (node == nullptr) continue;
      return Fault(*node, "has the user " + Quote(user_name) + ", who signs in by a program (" +
                              plugin +
                              "), which is not run here; write a token of `kubectl create token` "
                              "as `token`");
    }
    HEADRACE_ASSIGN(read.certificate, Data(*user, "client-certificate"));
    HEADRACE_ASSIGN(read.key, Data(*user, "client-key"));
    // As kubectl has it: the file comes first.
    const std::string token_file = TextAt(*user, "tokenFile");
    if (token_file.empty()) {
      read.token.text = TextAt(*user, "token");
    } else {
      read.token.file = Resolved(token_file);
    }
    return read;
  }

 private:
  tl::unexpected<Error> Fault(const YamlNode& node, const std::string& sentence) const {
    return Fail(file_ + ":" + std::to_string(node.line) + ": the kubeconfig " + sentence + ".");
  }

  static std::string TextAt(const YamlNode& node, std::string_view key) {
    const YamlNode* const value = node.Find(key);
    return value != nullptr && value->kind == YamlNode::Kind::kValue ? value->text : "";
  }

  std::string Resolved(const std::string& path) const {
    return (std::filesystem::path(file_).parent_path() / path).lexically_normal().string();
  }

  // What is under `kind` in the item of that name in a list.
  Result<const YamlNode*> Item(std::string_view list, const std::string& name,
                               std::string_view kind) const {
    const YamlNode* const items = root_.Find(list);
    if (items != nullptr && items->kind == YamlNode::Kind::kList) {
      for (const YamlRef& item : items->items) {
        const YamlNode* const value = item->Find(kind);
        if (TextAt(*item, "name") == name && value != nullptr) return value;
      }
    }
    return Fault(items == nullptr ? root_ : *items, "has no " + std::string(kind) + " " +
                                                        Quote(name) + " in `" + std::string(list) +
                                                        "`; add it or name another");
  }

  // `NAME-data`, in base64, or the file `NAME`.
  Result<Kubeconfig::Text> Data(const YamlNode& node, const std::string& name) const {
    const YamlNode* const data = node.Find(name + "-data");
    if (data != nullptr && !data->text.empty()) {
      auto decoded = Base64Decoded(data->text);
      if (!decoded) return Fault(*data, "has `" + name + "-data` that is not base64; encode it");
      return Kubeconfig::Text{.text = *std::move(decoded), .file = {}};
    }
    const std::string file = TextAt(node, name);
    return Kubeconfig::Text{.text = {}, .file = file.empty() ? "" : Resolved(file)};
  }

  const YamlNode& root_;
  const std::string& file_;
};

}  // namespace

Result<Kubeconfig> ParseKubeconfig(std::string_view text, const std::string& file_name,
                                   const std::string& context) {
  const auto root = ParseYaml(text);
  if (!root) {
    return Fail(file_name + ":" + std::to_string(root.error().line) + ": " + root.error().sentence +
                ".");
  }
  return Reader(**root, file_name).Read(context);
}

}  // namespace headrace::config
