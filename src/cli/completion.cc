#include <functional>

#include "cli/command_tree.h"

namespace headrace::cli {
namespace {

using Visit = std::function<void(const CommandNode&)>;

void ForEach(const CommandNode& command, const Visit& visit) {
  visit(command);
  for (const CommandNode& below : command.commands) ForEach(below, visit);
}

// The first line up to a colon, semicolon or bracket: shells show one line, and a part of it.
std::string Brief(const std::string& text) {
  std::string brief = text.substr(0, text.find_first_of("\n:;(["));
  while (!brief.empty() && (brief.back() == ' ' || brief.back() == '.')) brief.pop_back();
  return brief;
}

// In single quotes of a shell in which only the quote itself must be escaped, with `quote`.
std::string Quoted(const std::string& text, const std::string& quote) {
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? quote : std::string{c};
  return quoted + "'";
}

std::string Posix(const std::string& text) { return Quoted(text, R"('\'')"); }
std::string Fish(const std::string& text) { return Quoted(text, R"(\')"); }

bool TakesFileArgument(const CommandNode& command) {
  for (const OptionNode& option : command.options) {
    if (option.positional && option.takes_file()) return true;
  }
  return false;
}

// --- zsh

std::string ZshOption(const OptionNode& option) {
  const std::string value = option.value.empty() ? ""
                                                 : ":" + Brief(option.value) + ":" +
                                                       (option.takes_file() ? "_files" : " ");
  if (option.positional) return Posix("*" + value);
  std::string spec;
  for (const std::string& name : option.names) {
    // Either name rules out both.
    std::string others;
    for (const std::string& other : option.names) others += (others.empty() ? "" : " ") + other;
    spec += (spec.empty() ? "" : " ") +
            Posix("(" + others + ")" + name + "[" + Brief(option.text) + "]" + value);
  }
  return spec;
}

std::string ZshFunction(const CommandNode& command) {
  const std::string function = "_" + command.Name('_');
  std::string text = function + "() {\n";
  const bool group = !command.commands.empty();
  if (group) text += "  local context state state_descr line\n  typeset -A opt_args\n";
  text += group ? "  _arguments -C" : "  _arguments";
  for (const OptionNode& option : command.options) text += " \\\n    " + ZshOption(option);
  if (!group) return text + "\n}\n\n";
  text +=
      " \\\n    '1:command:->command' '*::argument:->argument'\n  case $state in\n"
      "    command)\n      local -a commands=(\n";
  for (const CommandNode& below : command.commands) {
    text += "        " + Posix(below.name() + ":" + Brief(below.text)) + "\n";
  }
  return text +
         "      )\n      _describe command commands ;;\n    argument)\n      (( $+functions[" +
         function + "_$line[1]] )) && " + function + "_$line[1] ;;\n  esac\n}\n\n";
}

}  // namespace

std::string BashCompletion(const CommandNode& program) {
  std::string commands;  // Patterns of `case`.
  std::string files;
  std::string values;
  std::string words;
  const auto add = [](std::string& list, const std::string& pattern) {
    list += (list.empty() ? "" : "|") + ("'" + pattern + "'");
  };
  ForEach(program, [&](const CommandNode& command) {
    std::string offered;
    for (const OptionNode& option : command.options) {
      for (const std::string& name : option.names) {
        offered += " " + name;
        if (option.value.empty()) continue;
        add(option.takes_file() ? files : values, command.Name(' ') + " " + name);
      }
    }
    for (const CommandNode& below : command.commands) {
      add(commands, below.Name(' '));
      offered += " " + below.name();
    }
    words += "    '" + command.Name(' ') + "') words='" + offered.substr(1) + "'";
    if (TakesFileArgument(command)) words += " files=yes";
    words += " ;;\n";
  });
  return "# Completion of headrace for bash; made by `headrace completion bash`.\n"
         "_headrace() {\n"
         "  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}\n"
         "  local command=headrace word words= files=\n"
         "  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
         "    case \"$command $word\" in\n      " +
         commands +
         ") command+=\" $word\" ;;\n    esac\n  done\n"
         "  case \"$command $previous\" in\n    " +
         files + ") files=yes ;;\n    " + values +
         ") COMPREPLY=(); return ;;\n    *)\n  case $command in\n" + words +
         "  esac ;;\n  esac\n"
         "  mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
         "  if [[ -n $files && $current != -* ]]; then\n"
         "    compopt -o filenames 2>/dev/null\n"
         "    mapfile -t COMPREPLY < <(compgen -f -- \"$current\")\n"
         "  fi\n}\ncomplete -F _headrace headrace\n";
}

std::string ZshCompletion(const CommandNode& program) {
  std::string text =
      "#compdef headrace\n# Completion of headrace for zsh; made by `headrace completion zsh`.\n\n";
  ForEach(program, [&](const CommandNode& command) { text += ZshFunction(command); });
  // Autoloaded as a function from $fpath, or sourced.
  return text +
         "if [[ $funcstack[1] == _headrace ]]; then _headrace \"$@\"; else compdef _headrace "
         "headrace; fi\n";
}

std::string FishCompletion(const CommandNode& program) {
  std::string text =
      "# Completion of headrace for fish; made by `headrace completion fish`.\n"
      "complete -c headrace -f\n";
  ForEach(program, [&](const CommandNode& command) {
    std::string here;
    for (std::size_t depth = 1; depth < command.path.size(); ++depth) {
      here +=
          (here.empty() ? "" : "; and ") + ("__fish_seen_subcommand_from " + command.path[depth]);
    }
    if (!command.commands.empty()) {
      here += (here.empty() ? "" : "; and ") + std::string("not __fish_seen_subcommand_from");
      for (const CommandNode& below : command.commands) here += " " + below.name();
    }
    const std::string start = "complete -c headrace -n " + Fish(here);
    for (const CommandNode& below : command.commands) {
      text += start + " -a " + below.name() + " -d " + Fish(Brief(below.text)) + "\n";
    }
    for (const OptionNode& option : command.options) {
      if (option.positional && !option.takes_file()) continue;
      text += start;
      for (const std::string& name : option.names) {
        text += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      }
      if (option.takes_file()) text += " -F";
      if (!option.positional) {
        if (!option.value.empty()) text += " -r";
        text += " -d " + Fish(Brief(option.text));
      }
      text += "\n";
    }
  });
  return text;
}

}  // namespace headrace::cli
