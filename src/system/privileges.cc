#include "system/privileges.h"

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <fstream>

namespace headrace::system {

std::uint16_t FirstOpenPort() {
  std::ifstream file("/proc/sys/net/ipv4/ip_unprivileged_port_start");
  unsigned first = 1024;
  file >> first;
  return static_cast<std::uint16_t>(first);
}

bool MayListenOn(std::uint16_t port) {
  if (port == 0 || port >= FirstOpenPort()) return true;
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> sets{};
  if (syscall(SYS_capget, &header, sets.data()) != 0) return true;
  return (sets[CAP_TO_INDEX(CAP_NET_BIND_SERVICE)].effective & CAP_TO_MASK(CAP_NET_BIND_SERVICE)) !=
         0;
}

}  // namespace headrace::system
