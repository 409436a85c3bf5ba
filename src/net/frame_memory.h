#pragma once

#include <cstddef>

namespace headrace::net {

// The memory of coroutines' frames. A request has some fifteen of them, of the same few sizes as
// the request before it, so each thread keeps some of those that were freed on it, up to a limit.
void* TakeFrame(std::size_t size);
// `size` as it was taken.
void GiveFrame(void* frame, std::size_t size) noexcept;

}  // namespace headrace::net
