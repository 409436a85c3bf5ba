// Collects the rows of a file of requests. Of the readers in trace.h.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "workload/trace.h"

namespace headrace::workload {

class RequestRows {
 public:
  explicit RequestRows(std::string_view name) : name_(name) {}

  // Leaves it out if either length is 0. All have a time, or none: else Finish fails.
  void Add(std::optional<Seconds> at, Tokens prompt, Tokens output);
  // One that the file says nothing usable of.
  void LeaveOut() { ++without_tokens_; }
  // One that has no end, as the file says.
  void LeaveOutFailed() { ++failed_; }
  // The last line, which breaks off.
  void BreakOff(std::size_t line) { broken_line_ = line; }
  bool empty() const { return rows_.empty(); }

  Result<RequestFile> Finish(std::string_view format) &&;

 private:
  std::string name_;
  Trace rows_;
  std::size_t timed_ = 0;
  std::size_t without_tokens_ = 0;
  std::size_t failed_ = 0;
  std::size_t broken_line_ = 0;
};

// The two kinds of text that ReadRequests tells apart.
Result<RequestFile> ReadRequestCsv(std::string_view text, std::string_view name,
                                   std::optional<Seconds> time_unit);
Result<RequestFile> ReadRequestJson(std::string_view text, std::string_view name,
                                    std::optional<Seconds> time_unit);

}  // namespace headrace::workload
