// How the gateway reaches engines: their URLs, TLS, keys and headers.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "discovery/endpoint_source.h"
#include "net/http_client.h"
#include "net/tls_peer.h"
#include "serving/endpoint_info.h"
#include "system/http_url.h"
#include "system/mutex.h"

namespace headrace::gateway {

// A key in a file, such as a mounted secret. Thread-safe.
class KeyFile {
 public:
  explicit KeyFile(std::string path) : path_(std::move(path)) {}

  // Reads the file; what was read last stays if that fails. Blocks.
  Result<void> Refresh();
  std::string key() const;

 private:
  const std::string path_;
  mutable system::Mutex mutex_;
  std::string key_ HEADRACE_GUARDED_BY(mutex_);
};

// What one endpoint's configuration comes to. Immutable, but for the key in its file.
class EngineAccess final : public discovery::EndpointAccess {
 public:
  struct Options {
    system::HttpUrl url;
    std::string api_key;
    std::shared_ptr<KeyFile> key_file;       // Before api_key; null: none.
    std::vector<std::string> headers;        // "Name: value" each.
    std::optional<std::string> health_path;  // Absent: that of all engines.
    // Of an https:// URL; these are compared, the peer is made of them.
    net::TlsContext::Options tls;
    std::string server_name;
    std::string key_path;
  };
  EngineAccess(Options options, std::shared_ptr<net::TlsPeer> peer)
      : options_(std::move(options)), peer_(std::move(peer)), host_(options_.url.Authority()) {}

  bool Equals(const discovery::EndpointAccess& other) const override;
  const Options& options() const { return options_; }
  const std::shared_ptr<net::TlsPeer>& peer() const { return peer_; }
  const std::string& host() const { return host_; }
  // Whether a header of the client is not passed on.
  bool Replaces(std::string_view header) const;
  void AddHeaders(net::RequestHead& head) const;

 private:
  bool HasKey() const { return options_.key_file != nullptr || !options_.api_key.empty(); }

  const Options options_;
  const std::shared_ptr<net::TlsPeer> peer_;  // Null: plain HTTP.
  const std::string host_;                    // The Host header.
};

// Null for an endpoint that is plain HTTP and nothing else.
const EngineAccess* AccessOf(const serving::EndpointInfo& endpoint);
// The endpoint has an address.
net::Destination DestinationOf(const serving::EndpointInfo& endpoint);
// Without the headers that EngineAccess adds.
net::RequestHead RequestHeadFor(const serving::EndpointInfo& endpoint, std::string_view method,
                                std::string_view target);

}  // namespace headrace::gateway
