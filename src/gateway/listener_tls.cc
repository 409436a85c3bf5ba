#include "gateway/listener_tls.h"

#include <algorithm>
#include <utility>

#include "system/clock.h"
#include "system/files.h"

namespace headrace::gateway {
namespace {

constexpr std::size_t kLargestPem = std::size_t{1} << 20;

const config::ListenerConfig& ListenerOf(const config::Config& config, const std::string& name) {
  return name == "admin" ? config.admin : config.listen;
}

}  // namespace

// --- What a listener has

std::string ListenerTls::Part::Called() const {
  std::string called;
  for (const std::string& file : files) called += (called.empty() ? " (" : " and ") + file;
  return option + called + ")";
}

std::vector<ListenerTls::Part> ListenerTls::PartsOf(const std::string& name,
                                                    const config::ListenerConfig& config) {
  std::vector<Part> parts;
  parts.push_back({.kind = Part::Kind::kOwn,
                   .option = name + ".certificate",
                   .files = {config.certificate, config.key}});
  for (const config::CertificateConfig& other : config.certificates) {
    parts.push_back({.kind = Part::Kind::kOther,
                     .option = name + ".certificates[" + other.certificate + "]",
                     .files = {other.certificate, other.key}});
  }
  if (!config.client_ca.empty()) {
    parts.push_back({.kind = Part::Kind::kClientCa,
                     .option = name + ".client_ca",
                     .files = {config.client_ca}});
  }
  return parts;
}

Result<ListenerTls::Texts> ListenerTls::ReadFiles(const Part& part) {
  Texts texts;
  for (const std::string& file : part.files) {
    HEADRACE_ASSIGN(auto text, system::ReadSmallFile(file, kLargestPem));
    texts.push_back(std::move(text));
  }
  return texts;
}

Result<std::shared_ptr<const net::TlsContext>> ListenerTls::MakeContext(
    const std::vector<Part>& parts) {
  std::string ca;
  for (const Part& part : parts) {
    if (part.kind == Part::Kind::kClientCa) ca = part.texts[0];
  }
  const auto options = [&ca](const Part& pair) {
    return net::TlsContext::Options{.ca = ca, .certificate = pair.texts[0], .key = pair.texts[1]};
  };
  std::vector<std::shared_ptr<const net::TlsContext>> others;
  for (const Part& part : parts) {
    if (part.kind != Part::Kind::kOther) continue;
    HEADRACE_ASSIGN(auto other, net::TlsContext::ForServer(options(part)));
    if (other->names().empty()) {
      return Fail(
          "is for no host's name (subjectAltName), so no client could ask for it; remove it, or "
          "have it made for a name");
    }
    others.push_back(std::move(other));
  }
  return net::TlsContext::ForServer(options(parts.front()), std::move(others));
}

Result<void> ListenerTls::Take(std::size_t part, Texts texts, Whole& whole) {
  Texts before = std::exchange(whole.parts[part].texts, std::move(texts));
  auto context = MakeContext(whole.parts);
  if (context) {
    whole.context = *std::move(context);
    return {};
  }
  whole.parts[part].texts = std::move(before);
  return Fail(whole.parts[part].Called() + " " + context.error().message);
}

Result<ListenerTls::Whole> ListenerTls::Read(const std::vector<Part>& wanted,
                                             const std::vector<Part>& known) {
  Whole whole;
  for (const Part& part : wanted) {
    const auto same =
        std::ranges::find_if(known, [&part](const Part& its) { return its.IsSame(part); });
    Part& added = whole.parts.emplace_back(same == known.end() ? part : *same);
    if (same == known.end()) {
      added.reading.Set(ReadFiles(part));
      HEADRACE_TRY(added.reading.last());
    }
    // One after the other, so that an error is about this one.
    HEADRACE_TRY(Take(whole.parts.size() - 1,
                      same == known.end() ? *added.reading.last() : added.texts, whole));
  }
  return whole;
}

Result<std::shared_ptr<ListenerTls>> ListenerTls::Load(const std::string& name,
                                                       const config::ListenerConfig& config,
                                                       telemetry::StandingFaults& faults,
                                                       telemetry::MetricsRegistry& registry) {
  if (!config.tls()) return nullptr;
  HEADRACE_ASSIGN(Whole whole, Read(PartsOf(name, config), {}));
  return std::shared_ptr<ListenerTls>(new ListenerTls(name, std::move(whole), faults, registry));
}

Result<void> ListenerTls::CheckFiles(const config::Config& config) {
  for (const char* const name : {"listen", "admin"}) {
    const config::ListenerConfig& listener = ListenerOf(config, name);
    if (listener.tls()) HEADRACE_TRY(Read(PartsOf(name, listener), {}));
  }
  return {};
}

// --- While it runs

ListenerTls::ListenerTls(std::string name, Whole whole, telemetry::StandingFaults& faults,
                         telemetry::MetricsRegistry& registry)
    : name_(std::move(name)),
      faults_(faults),
      metrics_(registry, name_, {net::TlsServer::kFaults.begin(), net::TlsServer::kFaults.end()}),
      whole_(std::move(whole)),
      server_(std::make_shared<net::TlsServer>(
          whole_.context, [this](std::string_view why) { metrics_.failed[why].Add(); })) {
  Show();
}

void ListenerTls::Show() {
  server_->Exchange(whole_.context);
  Seconds first = whole_.context->ends();
  for (const auto& other : whole_.context->others()) first = std::min(first, other->ends());
  metrics_.ends.Set(first);
}

void ListenerTls::Refresh(Seconds now) {
  std::vector<Part> known;
  {
    const system::MutexLock lock(mutex_);
    known = whole_.parts;
  }
  // It may take long, and nobody waits for it.
  std::vector<Result<Texts>> read;
  for (const Part& part : known) read.push_back(ReadFiles(part));

  const system::MutexLock lock(mutex_);
  const auto same = [](const Part& a, const Part& b) { return a.IsSame(b); };
  if (!std::ranges::equal(whole_.parts, known, same)) return;  // Others are in force by now.
  bool changed = false;
  for (std::size_t i = 0; i < known.size(); ++i) {
    Part& part = whole_.parts[i];
    Result<Texts>& texts = read[i];
    if (!part.reading.IsNew(texts)) continue;
    part.reading.Set(texts);
    const Result<void> taken =
        texts ? Take(i, *std::move(texts), whole_) : tl::unexpected(texts.error());
    if (taken) {
      part.fault.clear();
      faults_.Clear(part.option, part.option + ": its files are in order again", now);
      changed = true;
    } else {
      part.fault = taken.error().message;
      faults_.Raise(telemetry::LogLevel::kError, part.option,
                    "what is in force stays as it was: " + part.fault, now);
    }
  }
  if (changed) Show();
}

Result<std::function<void()>> ListenerTls::Prepare(const config::Config& config) {
  const std::vector<Part> wanted = PartsOf(name_, ListenerOf(config, name_));
  std::vector<Part> known;
  {
    const system::MutexLock lock(mutex_);
    known = whole_.parts;
  }
  const auto same = [](const Part& a, const Part& b) { return a.IsSame(b); };
  if (std::ranges::equal(wanted, known, same)) return [] {};
  HEADRACE_ASSIGN(auto next, Read(wanted, known));
  return [this, next = std::move(next)] {
    const system::MutexLock lock(mutex_);
    for (const Part& part : whole_.parts) {
      if (part.fault.empty()) continue;
      const auto stays = [&part](const Part& other) { return other.IsSame(part); };
      if (std::ranges::any_of(next.parts, stays)) continue;
      faults_.Clear(part.option, part.option + ": other files are in force",
                    system::MonotonicNow());
    }
    whole_ = next;
    Show();
  };
}

std::vector<FollowedStatus> ListenerTls::Statuses() const {
  const system::MutexLock lock(mutex_);
  std::vector<FollowedStatus> statuses;
  auto other = whole_.context->others().begin();
  for (const Part& part : whole_.parts) {
    FollowedStatus& status = statuses.emplace_back();
    status = {.option = part.option, .file = part.files[0], .fault = part.fault};
    if (part.kind == Part::Kind::kOwn) status.ends = whole_.context->ends();
    if (part.kind == Part::Kind::kOther) status.ends = (*other++)->ends();
  }
  return statuses;
}

}  // namespace headrace::gateway
