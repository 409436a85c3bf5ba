// The API server of a Kubernetes cluster: lists and watches, kept up to date.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "discovery/kubernetes_objects.h"
#include "net/http_client.h"
#include "net/io_threads.h"
#include "system/http_url.h"
#include "system/mutex.h"

namespace headrace::discovery {

// How the API server is reached, and as whom.
struct KubernetesAccess {
  // A text, or a file that has it and may change: it is read for every list and every watch.
  struct Text {
    std::string text;
    std::string file;  // Empty: `text` is it.
    bool empty() const { return text.empty() && file.empty(); }
    bool operator==(const Text&) const = default;
  };
  system::HttpUrl server;
  Text ca;  // PEM; empty: the system's CAs.
  Text certificate;
  Text key;
  Text token;
  bool verify = true;
  std::string server_name;  // That its certificate has to be for; empty: the URL's host.
  std::string name_space;   // The own one.
  bool operator==(const KubernetesAccess&) const = default;
};

// That of a pod: where the environment says, as its service account.
Result<KubernetesAccess> AccessOfPod(
    const std::string& folder = "/var/run/secrets/kubernetes.io/serviceaccount");

// What is listed and watched.
struct KubernetesQuery {
  KubernetesKind kind{};
  std::string name_space = {};      // Empty: all, or of what belongs to the cluster.
  std::string label_selector = {};  // Empty: all.
  std::string name = {};            // Only this one; empty: all.
  auto operator<=>(const KubernetesQuery&) const = default;
};

class KubernetesCluster;

// The objects that a query has, as the API server said last. What was found stays while the server
// is away. Thread-safe.
class KubernetesTable {
 public:
  using Object = std::shared_ptr<const KubernetesObject>;

  struct Contents {
    bool complete = false;        // All have been listed once.
    bool unknown = false;         // The cluster does not have the kind.
    std::string outage;           // Why they may be old, one sentence; empty: they are not.
    std::string fault;            // Of the first object that is left out, one sentence; else empty.
    std::vector<Object> objects;  // By namespace, then name.
  };

  ~KubernetesTable();

  // Another one than before: the contents may differ.
  std::uint64_t version() const;
  Contents Read() const;
  // Until all have been listed once, or that has failed; for so long at most.
  void WaitForList(Seconds most) const;

  struct State;

 private:
  friend class KubernetesCluster;
  KubernetesTable(std::shared_ptr<KubernetesCluster> cluster, std::shared_ptr<State> state);

  const std::shared_ptr<KubernetesCluster> cluster_;
  const std::shared_ptr<State> state_;
};

// Lists and watches on a thread of its own. Thread-safe.
class KubernetesCluster : public std::enable_shared_from_this<KubernetesCluster> {
 public:
  struct Options {
    // A watch ends by itself after this; one that is silent for longer, and some seconds, is cut.
    Seconds watch = 60;
    Seconds patience = 10;     // For the first byte of a response, and beyond the end of a watch.
    Seconds first_retry = .5;  // Doubles with each failure in a row, …
    Seconds last_retry = 30;   // … up to this.
    int page = 200;            // Objects of a list at a time.
  };
  static std::shared_ptr<KubernetesCluster> Open(KubernetesAccess access, Options options);
  static std::shared_ptr<KubernetesCluster> Open(KubernetesAccess access);
  ~KubernetesCluster();

  const KubernetesAccess& access() const { return access_; }

  // What the query has; kept up to date while somebody has it, once for all who ask the same.
  std::shared_ptr<const KubernetesTable> Watch(const KubernetesQuery& query);

 private:
  friend class KubernetesTable;
  struct Session;
  struct Reader;

  KubernetesCluster(KubernetesAccess access, Options options);

  const KubernetesAccess access_;
  const Options options_;
  system::Mutex mutex_;
  std::map<KubernetesQuery, std::weak_ptr<const KubernetesTable>> tables_
      HEADRACE_GUARDED_BY(mutex_);
  std::shared_ptr<Session> session_;  // Before the threads: it ends on one of them.
  net::IoThreads threads_{1};
};

}  // namespace headrace::discovery
