// How many files and sockets this process may have open.
#pragma once

#include <cstddef>

namespace headrace::system {

std::size_t MostOpenFiles();

// As many as the system allows it: what a shell or a container gives is often a fraction of that.
void RaiseOpenFiles();

}  // namespace headrace::system
