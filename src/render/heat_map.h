// What the terminal and the web page both draw: one value per cell, on a shared scale. Internal.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "render/profile_view.h"

namespace headrace::render {

// A value's place on its panel's scale.
struct Shade {
  enum class Kind {
    kUnknown,  // A hole.
    kNone,     // No request can be served.
    kScale,    // `strength` 0 … 1 from the panel's lowest to its highest value.
    kGood,     // Headroom above 0: `strength` 0 … 1.
    kBad,      // Headroom below 0: `strength` 0 … 1.
  };
  Kind kind = Kind::kUnknown;
  double strength = 0;
};

// One quantity of all profiles.
struct Panel {
  enum class Kind { kThroughput, kLatency, kHeadroom };
  Kind kind = Kind::kThroughput;
  std::string title;           // With the unit: "Mean E2E, seconds".
  std::string note;            // What it means, in one sentence.
  double scale = 1;            // From the profile's unit to the title's.
  double least = 0, most = 0;  // Of all positive values; equal when there are none.
  // One per profile; nullopt if the profile does not hold it.
  std::vector<std::optional<profile::BucketMatrix>> values;

  Shade ShadeOf(double value) const;
  // At most seven characters: "62.5", "—" for a hole, "+40 %" for headroom.
  std::string Label(double value) const;
};

// The panels for which at least one profile has a value.
std::vector<Panel> MakePanels(std::span<const ProfileView> views);

}  // namespace headrace::render
