#include <cctype>

#include "cli/command_tree.h"

namespace headrace::cli {
namespace {

// Text for roff: dashes that can be copied, no request at the start of a line.
std::string Roff(const std::string& text) {
  std::string roff;
  bool line_start = true;
  for (const char c : text) {
    if (line_start && (c == '.' || c == '\'')) roff += "\\&";
    line_start = c == '\n';
    if (c == '\\') {
      roff += "\\e";
    } else if (c == '-') {
      roff += "\\-";
    } else {
      roff += c;
    }
  }
  return roff;
}

std::string Bold(const std::string& text) { return "\\fB" + Roff(text) + "\\fR"; }
std::string Italic(const std::string& text) { return "\\fI" + Roff(text) + "\\fR"; }

std::string Upper(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

std::string Synopsis(const CommandNode& command) {
  std::string line = Bold(command.Name(' '));
  bool optional = false;
  for (const OptionNode& option : command.options) {
    if (option.required && !option.positional) {
      line += " " + Bold(option.names.back()) + " " + Italic(option.value);
    }
    optional = optional || (!option.required && !option.positional);
  }
  if (optional) line += " [" + Italic("OPTIONS") + "]";
  for (const OptionNode& option : command.options) {
    if (!option.positional) continue;
    const std::string value = Italic(option.value);
    line += " " + (option.required ? value : "[" + value + "]");
  }
  if (!command.commands.empty()) line += " " + Italic("COMMAND") + " …";
  return line + "\n";
}

std::string Options(const CommandNode& command) {
  std::string text;
  std::string group = "Options";
  for (const OptionNode& option : command.options) {
    if (!option.positional && option.group != group) {
      group = option.group;
      text += ".PP\n" + Bold(group) + "\n";
    }
    std::string names;
    for (const std::string& name : option.names) names += (names.empty() ? "" : ", ") + Bold(name);
    if (!option.value.empty()) names += (names.empty() ? "" : " ") + Italic(option.value);
    text += ".TP\n" + names + "\n" + Roff(option.text) +
            (option.required && !option.positional ? " (required)" : "") +
            (option.fallback.empty() ? "" : " (default: " + Roff(option.fallback) + ")") + "\n";
  }
  return text;
}

std::string CommandList(const CommandNode& command) {
  std::string text;
  for (const CommandNode& below : command.commands) {
    text += ".TP\n" + Bold(below.Name(' ')) + "\n" + Roff(below.text) + "\n";
  }
  return text;
}

}  // namespace

std::string ManualPage(const CommandNode& command) {
  const std::string title = command.Name('-');
  const std::string brief = command.text.substr(0, command.text.find('\n'));
  std::string text = ".TH " + Upper(title) + " 1 \"\" \"headrace " HEADRACE_VERSION "\" Headrace\n";
  text += ".SH NAME\n" + Roff(title) + " \\- " + Roff(brief) + "\n";
  text += ".SH SYNOPSIS\n" + Synopsis(command);
  text += ".SH DESCRIPTION\n" + Roff(command.text) + "\n";
  text += ".SH OPTIONS\n" + Options(command);
  if (command.path.size() == 1) {
    text += ".SH COMMANDS\n" + CommandList(command);
    text +=
        ".SH EXIT STATUS\n0: done. 1: it failed, standard error says why. 2: the arguments "
        "are wrong.\n.SH SEE ALSO\n";
    for (const CommandNode& below : command.commands) {
      text += Bold(below.Name('-')) + "(1)" + (&below == &command.commands.back() ? "\n" : ",\n");
    }
    return text;
  }
  if (!command.commands.empty()) text += ".SH COMMANDS\n";
  for (const CommandNode& below : command.commands) {
    text += ".SS " + below.Name(' ') + "\n" + Synopsis(below) + ".PP\n" + Roff(below.text) + "\n" +
            Options(below);
  }
  return text + ".SH SEE ALSO\n" + Bold("headrace") + "(1)\n";
}

}  // namespace headrace::cli
