#include "discovery/kubernetes_cluster.h"

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <random>
#include <utility>

#include "base/random.h"
#include "base/text.h"
#include "net/tls_peer.h"
#include "net/waker.h"
#include "system/clock.h"
#include "system/files.h"
#include "system/url.h"

namespace headrace::discovery {
namespace {

constexpr std::size_t kLargestFile = std::size_t{4} << 20;
constexpr std::size_t kLargestPage = std::size_t{256} << 20;
constexpr std::size_t kLargestEvent = std::size_t{16} << 20;
constexpr std::size_t kLargestError = std::size_t{64} << 10;
// Objects of one query whose faults are kept.
constexpr std::size_t kMostFaults = 100;
// A watch that ends sooner is a failure: else one that is cut at once would be made without rest.
constexpr Seconds kShortestWatch = 1;

constexpr int kOk = 200;
constexpr int kUnauthorized = 401;
constexpr int kForbidden = 403;
constexpr int kNotFound = 404;
constexpr int kGone = 410;

Result<std::string> TextOf(const KubernetesAccess::Text& text) {
  if (text.file.empty()) return text.text;
  return system::ReadSmallFile(text.file, kLargestFile);
}

// "pods in namespace inference", "nodes", "inferencepools.inference.networking.k8s.io llama in …".
std::string Describe(const KubernetesQuery& query) {
  const KubernetesResource& resource = ResourceOf(query.kind);
  std::string text(resource.plural);
  if (!resource.group.empty()) text.append(".").append(resource.group);
  if (!query.name.empty()) text += " " + query.name;
  if (!resource.namespaced) return text;
  return text +
         (query.name_space.empty() ? " of all namespaces" : " in namespace " + query.name_space);
}

std::string PathOf(const KubernetesQuery& query) {
  const KubernetesResource& resource = ResourceOf(query.kind);
  std::string path =
      resource.group.empty() ? "/api/" : "/apis/" + std::string(resource.group) + "/";
  path += resource.version;
  if (!query.name_space.empty()) path += "/namespaces/" + system::PercentEncode(query.name_space);
  path.append("/").append(resource.plural).append("?");
  if (!query.label_selector.empty()) {
    path += "labelSelector=" + system::PercentEncode(query.label_selector) + "&";
  }
  if (!query.name.empty()) {
    path += "fieldSelector=" + system::PercentEncode("metadata.name=" + query.name) + "&";
  }
  return path;
}

}  // namespace

Result<KubernetesAccess> AccessOfPod(const std::string& folder) {
  const char* const host = std::getenv("KUBERNETES_SERVICE_HOST");
  const char* const port = std::getenv("KUBERNETES_SERVICE_PORT");
  if (host == nullptr || port == nullptr) {
    return Fail(
        "this is no pod of Kubernetes (KUBERNETES_SERVICE_HOST is not set); outside of a cluster "
        "write `kubernetes: { kubeconfig: … }`");
  }
  const std::string address = std::string(host).find(':') == std::string::npos
                                  ? std::string(host) + ":" + port
                                  : "[" + std::string(host) + "]:" + port;
  KubernetesAccess access;
  auto server = system::ParseHttpUrl("https://" + address);
  if (!server)
    return Fail("KUBERNETES_SERVICE_HOST and _PORT, " + Excerpt(address) + ", " +
                server.error().message);
  access.server = *std::move(server);
  access.ca.file = folder + "/ca.crt";
  access.token.file = folder + "/token";
  auto own = system::ReadSmallFile(folder + "/namespace", kLargestFile);
  if (!own) {
    return Fail(own.error().message +
                "; the pod needs its service account's token (automountServiceAccountToken)");
  }
  access.name_space = Trimmed(*own);
  return access;
}

// --- What is known

struct KubernetesTable::State {
  using Names = std::pair<std::string, std::string>;
  struct Known {
    std::uint64_t version = 0;
    bool tried = false;
    Contents contents;  // Without the objects and their faults, which are here:
    std::map<Names, Object> objects;
    std::map<Names, std::string> faults;  // Of those that are left out; kMostFaults at most.
  };
  mutable system::Mutex mutex;
  system::ConditionVariable listed;
  Known known HEADRACE_GUARDED_BY(mutex);

  // Of the cluster's thread:
  bool stopped = false;
  net::Waker* waker = nullptr;    // While the reader runs.
  net::HttpCall* call = nullptr;  // While there is one.

  template <typename Change>
  void Update(const Change& change) {
    const system::MutexLock lock(mutex);
    change(known);
    ++known.version;
    known.tried = true;
    listed.NotifyAll();
  }
  void Stop() {
    stopped = true;
    if (call != nullptr) call->Close();
    if (waker != nullptr) waker->Wake();
  }
};

KubernetesTable::KubernetesTable(std::shared_ptr<KubernetesCluster> cluster,
                                 std::shared_ptr<State> state)
    : cluster_(std::move(cluster)), state_(std::move(state)) {}

KubernetesTable::~KubernetesTable() {
  cluster_->threads_[0].Post([state = state_] { state->Stop(); });
}

std::uint64_t KubernetesTable::version() const {
  const system::MutexLock lock(state_->mutex);
  return state_->known.version;
}

KubernetesTable::Contents KubernetesTable::Read() const {
  const system::MutexLock lock(state_->mutex);
  Contents contents = state_->known.contents;
  contents.objects.reserve(state_->known.objects.size());
  for (const auto& [names, object] : state_->known.objects) contents.objects.push_back(object);
  if (!state_->known.faults.empty()) contents.fault = state_->known.faults.begin()->second;
  return contents;
}

void KubernetesTable::WaitForList(Seconds most) const {
  const Seconds end = system::MonotonicNow() + most;
  const system::MutexLock lock(state_->mutex);
  while (!state_->known.tried) {
    const Seconds left = end - system::MonotonicNow();
    if (left <= 0) return;
    state_->listed.WaitFor(state_->mutex, left);
  }
}

// --- Requests

// What all requests of a cluster have in common. On its thread.
struct KubernetesCluster::Session {
  Session(net::IoThread& its_thread, const KubernetesAccess& its_access)
      : access(its_access),
        title("the Kubernetes API server " + access.server.ToString()),
        client(its_thread, {.connect_timeout = kConnectTimeout}),
        random(std::random_device{}()) {}

  static constexpr Seconds kConnectTimeout = 5;

  // Reads what may have changed; the error is a sentence.
  Result<void> Refresh() {
    const auto read = [](const char* what, const KubernetesAccess::Text& text) {
      return TextOf(text).map_error([&](Error error) {
        return Error{std::string("the ") + what + " for Kubernetes: " + std::move(error.message)};
      });
    };
    HEADRACE_ASSIGN(const std::string token_text, read("token", access.token));
    token = Trimmed(token_text);
    if (!access.server.tls) return {};
    net::TlsContext::Options options{.verify = access.verify};
    HEADRACE_ASSIGN(options.ca, read("CA", access.ca));
    HEADRACE_ASSIGN(options.certificate, read("certificate", access.certificate));
    HEADRACE_ASSIGN(options.key, read("key", access.key));
    if (peer != nullptr && options.ca == tls.ca && options.certificate == tls.certificate &&
        options.key == tls.key) {
      return {};
    }
    auto context = net::TlsContext::ForClient(options);
    if (!context) return Fail("TLS with " + title + " " + context.error().message + ".");
    const std::string& name =
        access.server_name.empty() ? access.server.host.host : access.server_name;
    peer = std::make_shared<net::TlsPeer>(*std::move(context), name);
    tls = std::move(options);
    return {};
  }

  const KubernetesAccess access;
  const std::string title;
  net::HttpClient client;
  Rng random;
  std::string token;
  net::TlsContext::Options tls;  // That `peer` was made of.
  std::shared_ptr<net::TlsPeer> peer;
};

// --- One list and its watch

// On the cluster's thread. Holds no reference to the cluster, which waits for it to end.
struct KubernetesCluster::Reader {
  // What became of a request.
  struct End {
    bool ok = false;
    int status = 0;           // Of HTTP, or of an ERROR event; 0: there was none.
    std::string phrase = {};  // Why it failed.
  };

  Reader(net::IoThread& its_thread, std::shared_ptr<Session> its_session,
         std::shared_ptr<KubernetesTable::State> its_state, KubernetesQuery its_query,
         const Options& its_options)
      : thread(its_thread),
        session(std::move(its_session)),
        state(std::move(its_state)),
        query(std::move(its_query)),
        options(its_options),
        path(session->access.server.base + PathOf(query)) {}

  net::Task<void> Run();
  net::Task<End> List();
  net::Task<End> Watch();
  // Sends a GET; `call` has its response if the result is ok.
  net::Task<End> Send(net::HttpCall& call, const std::string& target, bool is_watch);
  // The rest of a response, of `most` bytes at most.
  net::Task<End> ReadBody(net::HttpCall& call, std::string& body, std::size_t most) const;
  End Take(std::string_view line);
  void Succeeded() const;
  void Failed(const End& end) const;
  std::string SentenceOf(const End& end) const;

  net::IoThread& thread;
  const std::shared_ptr<Session> session;
  const std::shared_ptr<KubernetesTable::State> state;
  const KubernetesQuery query;
  const Options options;
  const std::string path;
  std::string version;  // To watch from; empty: to be listed.
};

net::Task<void> KubernetesCluster::Reader::Run() {
  net::Waker waker(thread);
  state->waker = &waker;
  const auto forget = [](KubernetesTable::State* end) { end->waker = nullptr; };
  const std::unique_ptr<KubernetesTable::State, decltype(forget)> guard(state.get(), forget);
  int failures = 0;
  while (!state->stopped) {
    const bool listing = version.empty();
    const Seconds began = system::MonotonicNow();
    End end;
    if (listing) {
      end = co_await List();
    } else {
      end = co_await Watch();
    }
    if (state->stopped) break;
    if (end.ok) {
      // A list is worth nothing if its watch fails: else the whole would be asked for without rest.
      if (!listing) failures = 0;
      continue;
    }
    // It cannot go on from where it was, and begins anew: at once, if that is all there is to it.
    const bool gone = end.status == kGone;
    if (gone || end.status != 0) version.clear();
    // A watch that was cut is made again before anybody is told.
    const bool cut = !listing && system::MonotonicNow() - began >= kShortestWatch;
    if (cut) failures = 0;
    if ((gone || cut) && failures == 0) {
      failures = 1;
      continue;
    }
    Failed(end);
    failures = std::min(failures + 1, 32);
    const Seconds pause =
        std::min(options.first_retry * static_cast<double>(std::uint64_t{1} << (failures - 1)),
                 options.last_retry);
    // Replicas that lost the same server do not come back to it all at once.
    constexpr double kLeast = 0.75;
    co_await waker.Wait(system::MonotonicNow() +
                        pause * (kLeast + (1 - kLeast) * session->random.Uniform()));
  }
}

net::Task<KubernetesCluster::Reader::End> KubernetesCluster::Reader::Send(net::HttpCall& call,
                                                                          const std::string& target,
                                                                          bool is_watch) {
  const auto ready = session->Refresh();
  if (!ready) co_return End{.phrase = ready.error().message};
  const system::HttpUrl& server = session->access.server;
  Result<system::SocketAddress> address = Fail("");
  const std::function<void()> resolve = [&] { address = system::Resolve(server.host); };
  co_await thread.RunAside(resolve);
  if (!address) co_return End{.phrase = address.error().message};
  const net::Destination destination(*address, session->peer);
  net::RequestHead head("GET", target, server.Authority());
  head.Add("accept", "application/json");
  head.Add("user-agent", "headrace");
  if (!session->token.empty()) head.Add("authorization", "Bearer " + session->token);
  const Seconds deadline = system::MonotonicNow() + options.patience;
  const net::CallError error = co_await call.Start(destination, head, {}, deadline);
  if (error != net::CallError::kNone) co_return End{.phrase = call.Fault()};
  if (call.status() == kOk) co_return End{.ok = true, .status = kOk};
  End end{.status = call.status()};
  std::string body;
  const End read = co_await ReadBody(call, body, kLargestError);
  const std::string message = read.ok ? MessageOfStatus(body) : "";
  end.phrase = "status " + std::to_string(end.status) + (message.empty() ? "" : ": " + message);
  // A watch that has come too early, or to a server with too much to do, goes on where it was.
  constexpr int kTooMany = 429;
  constexpr int kFirstOfServer = 500;
  if (is_watch && (end.status == kTooMany || end.status > kFirstOfServer)) end.status = 0;
  co_return end;
}

net::Task<KubernetesCluster::Reader::End> KubernetesCluster::Reader::ReadBody(
    net::HttpCall& call, std::string& body, std::size_t most) const {
  for (;;) {
    const net::HttpCall::Piece piece =
        co_await call.ReadSome(system::MonotonicNow() + options.patience);
    if (piece.error != net::CallError::kNone) co_return End{.phrase = call.Fault()};
    body += piece.data;
    if (body.size() > most) co_return End{.phrase = "the response is too long"};
    if (piece.last) co_return End{.ok = true, .status = kOk};
  }
}

net::Task<KubernetesCluster::Reader::End> KubernetesCluster::Reader::List() {
  using Names = KubernetesTable::State::Names;
  std::map<Names, KubernetesTable::Object> objects;
  std::map<Names, std::string> faults;
  std::string continue_from;
  std::string listed;
  do {
    std::string target = path + "limit=" + std::to_string(options.page);
    if (!continue_from.empty()) target += "&continue=" + system::PercentEncode(continue_from);
    net::HttpCall call(session->client);
    state->call = &call;
    std::string body;
    End end = co_await Send(call, target, /*is_watch=*/false);
    if (end.ok) end = co_await ReadBody(call, body, kLargestPage);
    state->call = nullptr;
    if (!end.ok) co_return end;
    auto page = ParsePage(query.kind, body);
    if (!page) co_return End{.phrase = "the list " + page.error().message};
    for (KubernetesObject& object : page->objects) {
      Names names(object.name_space, object.name);
      objects[std::move(names)] = std::make_shared<const KubernetesObject>(std::move(object));
    }
    for (KubernetesFault& fault : page->faults) {
      if (faults.size() == kMostFaults) break;
      faults[{std::move(fault.name_space), std::move(fault.name)}] = std::move(fault.text);
    }
    continue_from = std::move(page->continue_from);
    listed = std::move(page->version);
  } while (!continue_from.empty());
  version = std::move(listed);
  state->Update([&](KubernetesTable::State::Known& known) {
    known.objects.swap(objects);
    known.contents.complete = true;
    known.contents.unknown = false;
    known.contents.outage.clear();
    known.faults.swap(faults);
  });
  co_return End{.ok = true};
}

net::Task<KubernetesCluster::Reader::End> KubernetesCluster::Reader::Watch() {
  const Seconds began = system::MonotonicNow();
  net::HttpCall call(session->client);
  state->call = &call;
  const std::string target = path + "watch=true&allowWatchBookmarks=true&timeoutSeconds=" +
                             std::to_string(static_cast<int>(std::max(1.0, options.watch))) +
                             "&resourceVersion=" + system::PercentEncode(version);
  End end = co_await Send(call, target, /*is_watch=*/true);
  if (end.ok) Succeeded();
  std::string line;  // The beginning of one whose end has not come.
  const Seconds deadline = began + options.watch + options.patience;
  while (end.ok) {
    const net::HttpCall::Piece piece = co_await call.ReadSome(deadline);
    if (piece.error != net::CallError::kNone) {
      end = {.phrase = call.Fault()};
      break;
    }
    std::string_view data = piece.data;
    for (std::size_t at = 0; end.ok && (at = data.find('\n')) != std::string_view::npos;) {
      line += data.substr(0, at);
      data.remove_prefix(at + 1);
      if (!line.empty()) end = Take(line);
      line.clear();
    }
    line += data;
    if (end.ok && line.size() > kLargestEvent) end = {.phrase = "an event is too long"};
    if (!end.ok || !piece.last) continue;
    // The end that was asked for.
    if (system::MonotonicNow() - began < kShortestWatch) end = {.phrase = "the watch ends at once"};
    break;
  }
  state->call = nullptr;
  co_return end;
}

KubernetesCluster::Reader::End KubernetesCluster::Reader::Take(std::string_view line) {
  using Type = KubernetesEvent::Type;
  auto event = ParseEvent(query.kind, line);
  // What was missed cannot be known: all is listed again.
  if (!event) return {.status = kOk, .phrase = "an event " + event.error().message};
  if (event->type == Type::kError) {
    return {.status = event->code == 0 ? kOk : event->code,
            .phrase = "status " + std::to_string(event->code) + ": " + event->message};
  }
  version = std::move(event->version);
  if (event->type == Type::kBookmark) return {.ok = true};
  const bool gone = event->type == Type::kDeleted || !event->fault.empty();
  state->Update([&](KubernetesTable::State::Known& known) {
    KubernetesTable::State::Names names(event->object.name_space, event->object.name);
    if (event->fault.empty()) {
      known.faults.erase(names);
    } else if (known.faults.size() < kMostFaults || known.faults.contains(names)) {
      known.faults[names] = std::move(event->fault);
    }
    if (gone) {
      known.objects.erase(names);
    } else {
      known.objects[std::move(names)] =
          std::make_shared<const KubernetesObject>(std::move(event->object));
    }
  });
  return {.ok = true};
}

void KubernetesCluster::Reader::Succeeded() const {
  {
    const system::MutexLock lock(state->mutex);
    if (state->known.contents.outage.empty()) return;
  }
  state->Update([&](KubernetesTable::State::Known& known) { known.contents.outage.clear(); });
}

void KubernetesCluster::Reader::Failed(const End& end) const {
  std::string sentence = SentenceOf(end);
  const bool unknown = end.status == kNotFound;
  state->Update([&](KubernetesTable::State::Known& known) {
    known.contents.outage = std::move(sentence);
    known.contents.unknown = unknown;
  });
}

std::string KubernetesCluster::Reader::SentenceOf(const End& end) const {
  const std::string what = Describe(query);
  if (end.status == kForbidden) {
    return session->title + " does not let this service account list and watch " + what + " (" +
           end.phrase + "); give it the verbs `list` and `watch` on them (docs/kubernetes.md).";
  }
  if (end.status == kUnauthorized) {
    return session->title + " does not take the token or the certificate (" + end.phrase +
           "), so " + what + " stay as they were; renew it.";
  }
  if (end.status == kNotFound) {
    return session->title + " does not know " + what + " (" + end.phrase +
           "); install their custom resource definitions.";
  }
  return what + " cannot be listed and watched at " + session->title + " (" + end.phrase +
         "); what was found before stays in force.";
}

// --- KubernetesCluster

KubernetesCluster::KubernetesCluster(KubernetesAccess access, Options options)
    : access_(std::move(access)), options_(options) {
  session_ = std::make_shared<Session>(threads_[0], access_);
}

std::shared_ptr<KubernetesCluster> KubernetesCluster::Open(KubernetesAccess access,
                                                           Options options) {
  return std::shared_ptr<KubernetesCluster>(new KubernetesCluster(std::move(access), options));
}

std::shared_ptr<KubernetesCluster> KubernetesCluster::Open(KubernetesAccess access) {
  return Open(std::move(access), Options());
}

// No table is left, so every reader ends, or is ended with the thread; the last of them, or this,
// takes the session along.
KubernetesCluster::~KubernetesCluster() {
  threads_[0].Run([this] { session_.reset(); });
}

std::shared_ptr<const KubernetesTable> KubernetesCluster::Watch(const KubernetesQuery& query) {
  const system::MutexLock lock(mutex_);
  std::erase_if(tables_, [](const auto& entry) { return entry.second.expired(); });
  if (auto known = tables_[query].lock()) return known;
  auto state = std::make_shared<KubernetesTable::State>();
  threads_[0].Spawn([reader = std::make_shared<Reader>(threads_[0], session_, state, query,
                                                       options_)] { return reader->Run(); });
  std::shared_ptr<const KubernetesTable> table(
      new KubernetesTable(shared_from_this(), std::move(state)));
  tables_[query] = table;
  return table;
}

}  // namespace headrace::discovery
