// What the program logs while it runs: one line per event, for people or for collectors.
#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string_view>
#include <variant>

namespace headrace::telemetry {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

enum class LogFormat {
  kText,  // 2026-11-23T18:04:05.678Z warning endpoint is down endpoint=10.0.0.7:8000 failures=2
  kJson,  // {"time":"…","level":"warning","message":"endpoint is down","endpoint":"…","failures":2}
};

// A value that belongs to a line. Keeps views only, for the duration of the call.
class LogField {
 public:
  using Value = std::variant<std::string_view, std::int64_t, double, bool>;

  LogField(std::string_view key, std::string_view value) : key_(key), value_(value) {}
  LogField(std::string_view key, const char* value) : LogField(key, std::string_view(value)) {}
  LogField(std::string_view key, bool value) : key_(key), value_(value) {}
  LogField(std::string_view key, double value) : key_(key), value_(value) {}
  template <std::integral T>
  LogField(std::string_view key, T value) : key_(key), value_(static_cast<std::int64_t>(value)) {}

  std::string_view key() const { return key_; }
  const Value& value() const { return value_; }

 private:
  std::string_view key_;
  Value value_;
};

// Thread-safe. Writing blocks until the line is out: log what is rare, count what is frequent.
class Log {
 public:
  using Fields = std::initializer_list<LogField>;

  // To standard error.
  Log(LogLevel least, LogFormat format);
  // To `write`, one line per call without its line break, never two calls at once.
  Log(LogLevel least, LogFormat format, std::function<void(std::string_view line)> write);
  ~Log();

  void Debug(std::string_view message, Fields fields = {}) const {
    Write(LogLevel::kDebug, message, fields);
  }
  void Info(std::string_view message, Fields fields = {}) const {
    Write(LogLevel::kInfo, message, fields);
  }
  void Warning(std::string_view message, Fields fields = {}) const {
    Write(LogLevel::kWarning, message, fields);
  }
  void Error(std::string_view message, Fields fields = {}) const {
    Write(LogLevel::kError, message, fields);
  }
  // A message is a sentence without a full stop; whatever it and the fields contain, it stays one
  // line.
  void Write(LogLevel level, std::string_view message, Fields fields = {}) const;

  // Whether a line of this level would be written at all.
  bool Writes(LogLevel level) const;
  void SetLeast(LogLevel least);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace headrace::telemetry
