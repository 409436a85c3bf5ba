#include "net/frame_memory.h"

#include <array>
#include <new>

namespace headrace::net {
namespace {

constexpr std::size_t kStep = 64;  // Frames of nearly the same size share a list.
constexpr std::size_t kLargest = 16384;
constexpr std::size_t kMostBytes = std::size_t{256} * 1024;  // What a thread keeps.

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
  std::array<FreeFrame*, kLargest / kStep> lists;  // By size: up to 64 bytes, 128 …
  std::size_t bytes;
  bool ended;  // The thread: nothing is kept any more.
};
constinit thread_local Kept kept{};

struct Ending {
  ~Ending() {
    kept.ended = true;
    for (FreeFrame*& list : kept.lists) {
      while (list != nullptr) {
        FreeFrame* const next = list->next;
        ::operator delete(list);
        list = next;
      }
    }
  }
};

std::size_t ListOf(std::size_t size) { return (size - 1) / kStep; }

}  // namespace

void* TakeFrame(std::size_t size) {
  if (!kKeeps || size > kLargest) return ::operator new(size);
  const std::size_t list = ListOf(size);
  FreeFrame* const frame = kept.lists[list];
  if (frame == nullptr) return ::operator new((list + 1) * kStep);
  kept.lists[list] = frame->next;
  kept.bytes -= (list + 1) * kStep;
  return frame;
}

void GiveFrame(void* frame, std::size_t size) noexcept {
  const std::size_t list = ListOf(size);
  const std::size_t bytes = (list + 1) * kStep;
  if (!kKeeps || size > kLargest || kept.ended || kept.bytes + bytes > kMostBytes) {
    ::operator delete(frame);
    return;
  }
  static thread_local const Ending ending;
  kept.bytes += bytes;
  kept.lists[list] = new (frame) FreeFrame{kept.lists[list]};
}

}  // namespace headrace::net
