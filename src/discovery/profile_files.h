// GPU profiles in files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "discovery/profile_source.h"

namespace headrace::discovery {

// Checks the sizes and modification times of files every two seconds. That also works on network
// file systems and when Kubernetes replaces a mounted ConfigMap; notifications of the kernel miss
// both.
class ProfileFiles final : public ProfileSource {
 public:
  explicit ProfileFiles(std::vector<std::filesystem::path> paths);

  bool Refresh(Seconds now) override;

 private:
  struct Stamp {
    std::filesystem::file_time_type modified;
    std::uintmax_t size = 0;
    bool operator==(const Stamp&) const = default;
  };

  bool RefreshFile(std::size_t index);

  std::vector<std::filesystem::path> paths_;
  std::vector<Stamp> stamps_;
  Seconds next_check_ = 0;
};

}  // namespace headrace::discovery
