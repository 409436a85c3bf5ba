// A running gateway's admin pages, for the commands that ask or tell it something.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "base/result.h"
#include "base/units.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "net/http_client.h"
#include "net/io_threads.h"

namespace headrace::cli {

// Where these pages are, and how one is let in.
struct AdminOptions {
  std::string url = "127.0.0.1:9090";  // Or https://HOST:PORT.
  std::string token_file;              // Empty: no token.
  std::string ca;                      // Whom to trust; empty: the system's CAs.
  std::string certificate;             // Shown to the gateway; empty: none.
  std::string key;
};
// --admin and its companions.
void AddAdminOptions(CLI::App& command, AdminOptions& options);

struct AdminResponse {
  int status = 0;
  nlohmann::json body;  // Discarded, if it is no JSON.
  std::string text;     // The same, as it came.
};

// Keeps its connection from call to call. What cannot be reached, or does not let in, ends the
// program with a sentence.
class AdminClient {
 public:
  explicit AdminClient(const AdminOptions& options, Seconds timeout = kTimeout);
  ~AdminClient();
  AdminClient(const AdminClient&) = delete;
  AdminClient& operator=(const AdminClient&) = delete;

  // For those who go on without an answer. The error: a sentence without its full stop.
  Result<AdminResponse> Ask(const std::string& target) { return Call("GET", target); }

  AdminResponse Get(const std::string& target) { return OrStop(Call("GET", target)); }
  AdminResponse Post(const std::string& target) { return OrStop(Call("POST", target)); }

 private:
  static constexpr Seconds kTimeout = 60;  // A reload looks up names and reads profiles.

  Result<AdminResponse> Call(const std::string& method, const std::string& target);

  const Seconds timeout_;
  std::string name_;
  std::string host_;
  std::string token_;
  net::Destination destination_;
  net::IoThreads threads_{1};
  std::unique_ptr<net::HttpClient> client_;
};

// A member of the answer. Without it the program stops: with the gateway's own sentence, or because
// whoever answered is no admin address.
nlohmann::json MemberOf(const AdminResponse& response, const std::string& name);
// The same for those who go on without it.
Result<void> HasMember(const AdminResponse& response, const std::string& name);

}  // namespace headrace::cli
