// The subcommands; each is in the file of its name. They print results to standard output and
// messages to standard error. A subcommand that fails throws CLI::RuntimeError with its exit
// status, which the program returns (program.h).
#pragma once

#include <CLI/CLI.hpp>

namespace headrace::cli {

// The gateway in front of a fleet.
void AddServeCommand(CLI::App& app);
// What an operator tells a running gateway.
void AddReloadCommand(CLI::App& app);
void AddDrainCommand(CLI::App& app);
void AddResumeCommand(CLI::App& app);
// What they ask it.
void AddTopCommand(CLI::App& app);
void AddExplainCommand(CLI::App& app);
// An emulated engine.
void AddEngineCommand(CLI::App& app);
// Open-loop load on an OpenAI-compatible server.
void AddLoadCommand(CLI::App& app);
// What a file of recorded requests is like.
void AddTraceCommand(CLI::App& app);
// Policies compared in virtual time.
void AddSimulateCommand(CLI::App& app);
// Emulated engines, the gateway and load in one process.
void AddDemoCommand(CLI::App& app);
// `config check`, `diff`, `schema` and `reference`.
void AddConfigCommand(CLI::App& app);
// `key add`, `list` and `revoke`: API keys.
void AddKeyCommand(CLI::App& app);
// Completions of shells, and manual pages, made of all the others.
void AddCompletionCommand(CLI::App& app);
void AddManCommand(CLI::App& app);

// GPU profiles: the subcommands below. Warnings about a profile are not failures.
void AddProfileCommand(CLI::App& app);
void AddMeasureCommand(CLI::App& profile);
void AddImportCommand(CLI::App& profile);
void AddGenerateCommand(CLI::App& profile);
void AddCheckCommand(CLI::App& profile);
void AddShowCommand(CLI::App& profile);
void AddListCommand(CLI::App& profile);
void AddPushCommand(CLI::App& profile);
void AddPullCommand(CLI::App& profile);

}  // namespace headrace::cli
