// What the picker shows to those who connect.
#pragma once

#include <string>

#include "base/result.h"

namespace headrace::extproc {

struct KeyPair {  // In PEM form.
  std::string certificate;
  std::string key;
};

// A new one, which nobody has signed: the way is encrypted, but the name is not proven.
Result<KeyPair> SelfSigned();

// The error is the rest of a sentence about the two: "are no certificate and its key".
Result<void> CheckKeyPair(const KeyPair& pair);

}  // namespace headrace::extproc
