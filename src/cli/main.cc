#include "cli/program.h"

int main(int argc, char** argv) { return headrace::cli::RunProgram(argc, argv); }
