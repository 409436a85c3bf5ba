#include "telemetry/log.h"

#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <mutex>
#include <string>
#include <utility>

#include "base/control_character.h"
#include "base/json_writer.h"
#include "base/text.h"

namespace headrace::telemetry {
namespace {

class FunctionSink : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit FunctionSink(std::function<void(std::string_view)> write) : write_(std::move(write)) {}

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    write_(std::string_view(line.data(), line.size()));
  }
  void flush_() override {}

 private:
  std::function<void(std::string_view)> write_;
};

spdlog::level::level_enum LevelOf(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

std::string NumberText(double number) {
  std::array<char, 32> buffer;
  const auto [end, error] = std::to_chars(buffer.data(), buffer.data() + buffer.size(), number);
  return error == std::errc{} ? std::string(buffer.data(), end) : "nan";
}

// On one line; what is no printable text becomes a space.
std::string OneLine(std::string_view text) {
  std::string line;
  while (!text.empty()) {
    const std::size_t length = Utf8Length(text);
    if (length == 0 || IsControl(text.substr(0, length))) {
      line += ' ';
    } else {
      line += text.substr(0, length);
    }
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return line;
}

void AppendText(std::string& out, std::string_view value) {
  const std::string line = OneLine(value);
  if (!line.empty() && line.find_first_of(" \"=") == line.npos) {
    out += line;
    return;
  }
  out += '"';
  for (const char c : line) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  out += '"';
}

std::string TextLine(std::string_view message, Log::Fields fields) {
  std::string line = OneLine(message);
  for (const LogField& field : fields) {
    line += ' ';
    line += field.key();
    line += '=';
    std::visit(
        [&line](auto value) {
          using T = decltype(value);
          if constexpr (std::is_same_v<T, std::string_view>) {
            AppendText(line, value);
          } else if constexpr (std::is_same_v<T, bool>) {
            line += value ? "true" : "false";
          } else if constexpr (std::is_same_v<T, double>) {
            line += NumberText(value);
          } else {
            line += std::to_string(value);
          }
        },
        field.value());
  }
  return line;
}

// The members after "time" and "level", which the pattern writes.
std::string JsonMembers(std::string_view message, Log::Fields fields) {
  std::string line = "\"message\":";
  AppendJsonString(message, line);
  for (const LogField& field : fields) {
    line += ',';
    AppendJsonString(field.key(), line);
    line += ':';
    std::visit(
        [&line](auto value) {
          using T = decltype(value);
          if constexpr (std::is_same_v<T, std::string_view>) {
            AppendJsonString(value, line);
          } else if constexpr (std::is_same_v<T, bool>) {
            line += value ? "true" : "false";
          } else if constexpr (std::is_same_v<T, double>) {
            line += FormatJsonNumber(value);
          } else {
            line += std::to_string(value);
          }
        },
        field.value());
  }
  return line;
}

}  // namespace

struct Log::Impl {
  Impl(LogLevel least, LogFormat log_format, spdlog::sink_ptr sink, std::string end_of_line)
      : format(log_format), logger("headrace", std::move(sink)) {
    const std::string pattern = format == LogFormat::kJson
                                    ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})"
                                    : "%Y-%m-%dT%H:%M:%S.%eZ %l %v";
    logger.set_formatter(std::make_unique<spdlog::pattern_formatter>(
        pattern, spdlog::pattern_time_type::utc, std::move(end_of_line)));
    logger.set_level(LevelOf(least));
    logger.flush_on(spdlog::level::debug);
  }

  LogFormat format;
  spdlog::logger logger;
};

Log::Log(LogLevel least, LogFormat format)
    : impl_(std::make_unique<Impl>(least, format, std::make_shared<spdlog::sinks::stderr_sink_mt>(),
                                   "\n")) {}

Log::Log(LogLevel least, LogFormat format, std::function<void(std::string_view line)> write)
    : impl_(std::make_unique<Impl>(least, format, std::make_shared<FunctionSink>(std::move(write)),
                                   "")) {}

Log::~Log() = default;

void Log::Write(LogLevel level, std::string_view message, Fields fields) const {
  if (!Writes(level)) return;
  impl_->logger.log(LevelOf(level), impl_->format == LogFormat::kJson ? JsonMembers(message, fields)
                                                                      : TextLine(message, fields));
}

bool Log::Writes(LogLevel level) const { return impl_->logger.should_log(LevelOf(level)); }

void Log::SetLeast(LogLevel least) { impl_->logger.set_level(LevelOf(least)); }

}  // namespace headrace::telemetry
