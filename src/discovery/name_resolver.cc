#include "discovery/name_resolver.h"

#include <arpa/inet.h>

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <system_error>
#include <thread>
#include <utility>

#include "system/clock.h"
#include "system/mutex.h"

namespace headrace::discovery {
namespace {

bool IsNumber(const std::string& host) {
  in6_addr any;
  return inet_pton(AF_INET, host.c_str(), &any) == 1 ||
         inet_pton(AF_INET6, host.c_str(), &any) == 1;
}

}  // namespace

struct NameResolver::State {
  struct Name {
    Answer answer;
    Seconds began = -kNever;  // The last look-up.
    bool under_way = false;
  };
  using Key = std::pair<std::string, std::uint16_t>;

  State(Resolver the_resolver, Seconds the_interval)
      : resolver(std::move(the_resolver)), interval(the_interval) {}

  static void Take(Result<std::vector<system::SocketAddress>> found, const system::HostPort& name,
                   Name& known) {
    if (found && found->empty()) found = Fail(name.ToString() + " has no address");
    if (!found) {
      known.answer.fault = std::move(found.error().message);
      return;
    }
    known.answer.fault.clear();
    // Those that stay first, in their order.
    std::vector<system::SocketAddress>& addresses = known.answer.addresses;
    const auto in = [](const auto& list) {
      return
          [&list](const auto& address) { return std::ranges::find(list, address) != list.end(); };
    };
    std::erase_if(addresses, std::not_fn(in(*found)));
    for (const system::SocketAddress& address : *found) {
      if (!in(addresses)(address)) addresses.push_back(address);
    }
  }

  // False if no thread can be had for it now.
  static bool Begin(const std::shared_ptr<State>& state, const system::HostPort& name)
      HEADRACE_REQUIRES(state->mutex) {
    if (state->threads < kMostThreads) {
      try {
        std::thread([state] { Run(state); }).detach();
      } catch (const std::system_error&) {
        return false;
      }
      ++state->threads;
    }
    state->waiting.push_back(name);
    return true;
  }

  // A thread's work: looks up what waits for it.
  static void Run(const std::shared_ptr<State>& state) {
    for (;;) {
      system::HostPort name;
      {
        const system::MutexLock lock(state->mutex);
        if (state->waiting.empty()) {
          --state->threads;
          state->all_over.NotifyAll();
          return;
        }
        name = std::move(state->waiting.front());
        state->waiting.pop_front();
      }
      auto found = state->resolver(name);
      const system::MutexLock lock(state->mutex);
      Name& known = state->names[{name.host, name.port}];
      known.under_way = false;
      Take(std::move(found), name, known);
    }
  }

  const Resolver resolver;
  const Seconds interval;
  system::Mutex mutex;
  system::ConditionVariable all_over;
  std::map<Key, Name> names HEADRACE_GUARDED_BY(mutex);
  std::deque<system::HostPort> waiting HEADRACE_GUARDED_BY(mutex);
  int threads HEADRACE_GUARDED_BY(mutex) = 0;
};

NameResolver::NameResolver(Resolver resolver, Seconds interval)
    : state_(std::make_shared<State>(std::move(resolver), interval)) {}

NameResolver::~NameResolver() {
  const system::MutexLock lock(state_->mutex);
  state_->waiting.clear();
}

NameResolver::Answer NameResolver::Look(const system::HostPort& name, Seconds now) {
  const system::MutexLock lock(state_->mutex);
  State::Name& known = state_->names[{name.host, name.port}];
  if (IsNumber(name.host)) {
    if (known.answer.addresses.empty()) State::Take(state_->resolver(name), name, known);
    return known.answer;
  }
  if (!known.under_way && now >= known.began + state_->interval) {
    known.began = now;
    known.under_way = State::Begin(state_, name);
  }
  Answer answer = known.answer;
  const bool late = answer.addresses.empty() || now >= known.began + state_->interval;
  if (known.under_way && late && answer.fault.empty()) {
    answer.fault = "host \"" + name.host +
                   "\" is being looked up, without an answer so far; if that lasts, check the name "
                   "servers";
  }
  return answer;
}

void NameResolver::Wait(Seconds most) {
  const Seconds end = system::MonotonicNow() + most;
  const system::MutexLock lock(state_->mutex);
  while (state_->threads > 0) {
    const Seconds left = end - system::MonotonicNow();
    if (left <= 0) return;
    state_->all_over.WaitFor(state_->mutex, left);
  }
}

}  // namespace headrace::discovery
