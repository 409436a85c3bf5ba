#include "net/frame_memory.h"

#include <array>
#include <new>
#include <utility>

namespace headrace::net {
namespace {

constexpr std::size_t kStep = 64;  // Frames of nearly the same size share a list.
constexpr std::size_t kLargest = 16384;
constexpr int kMost = 64;  // That each list keeps: about those of one turn of the event loop.

// Sanitizers find the use of a frame that is gone only if its memory is really freed.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kKeeps = false;
#elif defined(__has_feature)
constexpr bool kKeeps = !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer);
#else
constexpr bool kKeeps = true;
#endif

struct FreeFrame {
  FreeFrame* next;
};

// Needs no destructor of its own: frames may be freed after a thread's other objects.
struct Kept {
  struct List {
    FreeFrame* first;
    int size;
  };
  std::array<List, kLargest / kStep> lists;  // By size: up to 64 bytes, 128 …
  bool ended;                                // The thread: nothing is kept any more.
};
constinit thread_local Kept kept{};

struct Ending {
  ~Ending() {
    kept.ended = true;
    for (Kept::List& list : kept.lists) {
      while (list.first != nullptr) {
        FreeFrame* const next = list.first->next;
        ::operator delete(list.first);
        list.first = next;
      }
    }
  }
};

std::size_t ListOf(std::size_t size) { return (size - 1) / kStep; }

}  // namespace

void* TakeFrame(std::size_t size) {
  if (!kKeeps || size > kLargest) return ::operator new(size);
  Kept::List& list = kept.lists[ListOf(size)];
  if (list.first == nullptr) return ::operator new((ListOf(size) + 1) * kStep);
  --list.size;
  return std::exchange(list.first, list.first->next);
}

void GiveFrame(void* frame, std::size_t size) noexcept {
  if (!kKeeps || size > kLargest || kept.ended || kept.lists[ListOf(size)].size >= kMost) {
    ::operator delete(frame);
    return;
  }
  static thread_local const Ending ending;
  Kept::List& list = kept.lists[ListOf(size)];
  ++list.size;
  list.first = new (frame) FreeFrame{list.first};
}

}  // namespace headrace::net
