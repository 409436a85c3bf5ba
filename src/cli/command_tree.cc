#include "cli/command_tree.h"

#include <utility>

namespace headrace::cli {
namespace {

OptionNode DescribeOption(const CLI::Option& option) {
  OptionNode node;
  for (const std::string& name : option.get_snames()) node.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) node.names.push_back("--" + name);
  node.positional = node.names.empty();
  if (node.positional) {
    node.value = option.get_name(true);
  } else if (option.get_items_expected_max() > 0) {
    node.value = option.get_type_name();
  }
  node.text = option.get_description();
  node.fallback = option.get_default_str();
  node.group = option.get_group();
  node.required = option.get_required();
  return node;
}

CommandNode Describe(const CLI::App& app, std::vector<std::string> path) {
  path.push_back(app.get_name());
  CommandNode node{.path = path, .text = app.get_description()};
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_group().empty()) node.options.push_back(DescribeOption(*option));
  }
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    CommandNode below = Describe(*command, path);
    if (!below.name().empty()) {
      node.commands.push_back(std::move(below));
    } else {  // A group of options.
      node.options.insert(node.options.end(), below.options.begin(), below.options.end());
    }
  }
  return node;
}

}  // namespace

std::string CommandNode::Name(char separator) const {
  std::string name;
  for (const std::string& part : path) name += (name.empty() ? "" : std::string{separator}) + part;
  return name;
}

CommandNode DescribeCommands(const CLI::App& app) { return Describe(app, {}); }

}  // namespace headrace::cli
