#include "profile/gpu_profile.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

#include "base/json_writer.h"
#include "base/limits.h"
#include "base/text.h"
#include "profile/check.h"
#include "profile/python_json.h"

namespace headrace::profile {
namespace {

using Json = nlohmann::json;
using Severity = ProfileFault::Severity;

constexpr double kHole = std::numeric_limits<double>::quiet_NaN();
// Faults of single cells that one matrix may report: a file full of NaN must not produce megabytes
// of messages.
constexpr std::size_t kMaxCellFaults = 8;

constexpr std::array<DetailKey, 14> kDetailKeys = {{
    {"rates", &ProfileDetail::rates},
    {"samples", &ProfileDetail::samples},
    {"e2e_p50", &ProfileDetail::e2e_p50},
    {"e2e_p90", &ProfileDetail::e2e_p90},
    {"e2e_p99", &ProfileDetail::e2e_p99},
    {"ttft_p50", &ProfileDetail::ttft_p50},
    {"ttft_p90", &ProfileDetail::ttft_p90},
    {"ttft_p99", &ProfileDetail::ttft_p99},
    {"tpot_p50", &ProfileDetail::tpot_p50},
    {"tpot_p90", &ProfileDetail::tpot_p90},
    {"tpot_p99", &ProfileDetail::tpot_p99},
    {"e2e_p95", &ProfileDetail::e2e_p95},
    {"ttft_p95", &ProfileDetail::ttft_p95},
    {"tpot_p95", &ProfileDetail::tpot_p95},
}};

struct SloKey {
  const char* key;
  std::optional<double> slo::Slo::* member;
};
constexpr std::array<SloKey, 7> kSloKeys = {{{"tput", &slo::Slo::tput},
                                             {"tt", &slo::Slo::tt},
                                             {"e2e", &slo::Slo::e2e},
                                             {"ttft", &slo::Slo::ttft},
                                             {"tpat", &slo::Slo::tpat},
                                             {"ntpot", &slo::Slo::ntpot},
                                             {"tpot", &slo::Slo::tpot}}};

// Reads one profile's JSON into `profile_` and collects its faults.
class Reader {
 public:
  Reader(const Json& root, std::string_view name) : root_(root), name_(name) {}

  Result<ParsedProfile> Read() {
    if (!root_.is_object()) return Refuse("is not a JSON object with `tputs` and `indexes`");
    const Json* gpu = FindKey("gpu");
    if (!gpu || !gpu->is_string() || gpu->get_ref<const std::string&>().empty()) {
      return Refuse("has no text under `gpu`; write the deployment's name there");
    }
    profile_.deployment = gpu->get<std::string>();
    profile_.cost = ReadScalar("cost", limits::kPrice, "its price is taken as 0");
    profile_.created = ReadScalar("created", limits::kUnixTime, "its age is unknown");
    HEADRACE_TRY(ReadAxes());

    const Json* tputs = FindKey("tputs");
    if (!tputs) return Refuse("has no `tputs`; generate the profile again");
    auto tput = ReadMatrix("tputs", *tputs);
    if (!tput) return Refuse(tput.error().message + "; generate the profile again");
    profile_.tput = *std::move(tput);
    if (std::ranges::all_of(profile_.tput.values(), [](double tput) { return std::isnan(tput); })) {
      return Refuse(
          "`tputs` holds only NaN, so no request can be routed with it; measure it again");
    }

    profile_.e2e = ReadOptionalMatrix("e2e", "this deployment is ranked by TTFT alone");
    profile_.ttft = ReadOptionalMatrix("ttft", "this deployment is not ranked by TTFT");
    profile_.tpot = ReadOptionalMatrix("tpot", "its TPOT is not shown");
    DropZeroE2e();
    ReadSlo();
    for (const DetailKey& detail : kDetailKeys) {
      profile_.detail.*detail.member =
          ReadOptionalMatrix(detail.key, "routing does not need it", /*holes_are_faults=*/false);
    }
    for (ProfileFault& fault : CheckLatencies(profile_, name_)) {
      faults_.push_back(std::move(fault));
    }
    return ParsedProfile{std::move(profile_), std::move(faults_)};
  }

 private:
  const Json* FindKey(std::string_view key) const {
    const auto found = root_.find(key);
    return found == root_.end() ? nullptr : &*found;
  }

  tl::unexpected<Error> Refuse(const std::string& what) const {
    return Fail(std::string(name_) + ": " + what + ".");
  }

  void AddFault(Severity severity, const std::string& what,
                std::optional<ProfileCell> cell = std::nullopt) {
    faults_.push_back({severity, cell, std::string(name_) + ": " + what + "."});
  }

  // "`e2e` at output 128, input 2048 tokens".
  std::string Describe(std::string_view key, ProfileCell cell) const {
    return "`" + std::string(key) + "` at " +
           CellName(profile_.outputs.centres()[cell.output], profile_.inputs.centres()[cell.input]);
  }

  // Whether `tputs`, which is read first, is 0 there.
  bool Unserved(ProfileCell cell) const {
    return profile_.tput.outputs() > 0 && profile_.tput.at(cell.output, cell.input) == 0;
  }

  double ReadScalar(const std::string& key, const NumberRange& range,
                    const std::string& consequence) {
    const Json* value = FindKey(key);
    const std::optional<double> number = value ? NumberIn(*value) : std::nullopt;
    if (number && range.Contains(*number)) return *number;
    AddFault(
        Severity::kWarning,
        std::string(value ? "`" : "has no `") + key +
            (value ? "` is no number from 0 to " + FormatNumber(range.high) + ", so " : "`, so ") +
            consequence + "; set it");
    return 0;
  }

  Result<BucketAxis> ReadAxis(const Json& list, const std::string& which) const {
    const std::string key = "`indexes`, the " + which + " tokens,";
    if (!list.is_array() || list.empty()) return Refuse(key + " must be a list of numbers");
    if (list.size() > kMaxBucketCentres) {
      return Refuse(key + " has " + std::to_string(list.size()) + " entries, more than " +
                    std::to_string(kMaxBucketCentres) + "; use fewer buckets");
    }
    std::vector<Tokens> centres;
    for (const Json& entry : list) {
      const std::optional<double> number = NumberIn(entry);
      if (!number || !limits::kTokens.Contains(*number) || *number != std::floor(*number)) {
        return Refuse(key + " must be whole numbers from 1 to 16777216, but entry " +
                      std::to_string(centres.size() + 1) + " is not; correct it");
      }
      const auto centre = static_cast<Tokens>(*number);
      if (!centres.empty() && centre <= centres.back()) {
        return Refuse(key + " must ascend, but " + std::to_string(centre) + " follows " +
                      std::to_string(centres.back()) + "; sort them and the matrices alike");
      }
      centres.push_back(centre);
    }
    return BucketAxis(std::move(centres));
  }

  Result<void> ReadAxes() {
    const Json* indexes = FindKey("indexes");
    if (!indexes || !indexes->is_array() || indexes->size() != 2) {
      return Refuse("`indexes` must be [[output tokens], [input tokens]]; generate it again");
    }
    HEADRACE_ASSIGN(profile_.outputs, ReadAxis((*indexes)[0], "output"));
    HEADRACE_ASSIGN(profile_.inputs, ReadAxis((*indexes)[1], "input"));
    return {};
  }

  // Its errors are clauses without the name and the fix.
  Result<BucketMatrix> ReadMatrix(std::string_view key, const Json& value,
                                  bool holes_are_faults = true) {
    const std::size_t rows = profile_.outputs.size();
    const std::size_t columns = profile_.inputs.size();
    const auto wrong = [&](const std::string& what) {
      return Fail("`" + std::string(key) + "` " + what + ", but `indexes` asks for " +
                  std::to_string(rows) + " rows (output) of " + std::to_string(columns) +
                  " numbers (input)");
    };
    if (!value.is_array()) return wrong("is not a list");
    if (value.size() != rows) return wrong("has " + std::to_string(value.size()) + " rows");
    BucketMatrix matrix(rows, columns, kHole);
    std::vector<ProfileFault> faults;
    std::size_t holes = 0;
    for (std::size_t row = 0; row < rows; ++row) {
      const Json& line = value[row];
      if (!line.is_array())
        return wrong("has a row " + std::to_string(row + 1) + " that is no list");
      if (line.size() != columns) {
        return wrong("has " + std::to_string(line.size()) + " numbers in row " +
                     std::to_string(row + 1));
      }
      for (std::size_t column = 0; column < columns; ++column) {
        const std::optional<double> number = NumberIn(line[column]);
        if (!number) {
          return wrong("has a cell in row " + std::to_string(row + 1) + ", column " +
                       std::to_string(column + 1) + " that is no number");
        }
        if (*number == 0 || limits::kMeasured.Contains(*number)) {
          matrix.at(row, column) = *number;
        } else if (++holes <= kMaxCellFaults) {
          const ProfileCell cell{row, column};
          const std::string found = std::isnan(*number) ? "empty (NaN)" : FormatNumber(*number);
          const std::string what = Describe(key, cell) + " is " + found;
          if (Unserved(cell)) {
            faults.push_back({Severity::kWarning, cell,
                              std::string(name_) + ": " + what +
                                  "; no request is routed there, since its `tputs` is 0."});
          } else {
            faults.push_back(
                {Severity::kError, cell,
                 std::string(name_) + ": " + what + ", so the cell is unknown; measure it again."});
          }
        }
      }
    }
    if (!holes_are_faults) return matrix;
    std::move(faults.begin(), faults.end(), std::back_inserter(faults_));
    if (holes > kMaxCellFaults) {
      AddFault(Severity::kError, "`" + std::string(key) + "` has " +
                                     std::to_string(holes - kMaxCellFaults) +
                                     " more such cells; measure them again");
    }
    return matrix;
  }

  std::optional<BucketMatrix> ReadOptionalMatrix(std::string_view key,
                                                 const std::string& consequence,
                                                 bool holes_are_faults = true) {
    const Json* value = FindKey(key);
    if (!value || value->is_null()) return std::nullopt;
    auto matrix = ReadMatrix(key, *value, holes_are_faults);
    if (matrix) return *std::move(matrix);
    AddFault(Severity::kError, matrix.error().message + "; it is ignored and " + consequence +
                                   " until the profile is generated again");
    return std::nullopt;
  }

  void DropZeroE2e() {
    if (!profile_.e2e) return;
    for (std::size_t row = 0; row < profile_.outputs.size(); ++row) {
      for (std::size_t column = 0; column < profile_.inputs.size(); ++column) {
        if (!(profile_.tput.at(row, column) > 0) || profile_.e2e->at(row, column) != 0) continue;
        profile_.e2e->at(row, column) = kHole;
        const ProfileCell cell{row, column};
        AddFault(Severity::kError,
                 Describe("e2e", cell) +
                     " is 0 s, which is impossible, so the cell is unknown; measure it again",
                 cell);
      }
    }
  }

  void ReadSlo() {
    const Json* slos = FindKey("slos");
    if (!slos || slos->is_null()) return;
    if (!slos->is_object()) {
      AddFault(
          Severity::kError,
          "`slos` is not an object and is ignored; write it as {\"percentile\": 99, \"e2e\": 5}");
      return;
    }
    if (const auto found = slos->find("percentile"); found != slos->end()) {
      const std::optional<double> number = NumberIn(*found);
      if (number &&
          (*number == 0 || *number == 50 || *number == 90 || *number == 95 || *number == 99)) {
        profile_.slo.percentile = static_cast<int>(*number);
      } else {
        AddFault(Severity::kError,
                 "`slos.percentile` must be 0 (the mean), 50, 90, 95 or 99; the mean is taken");
      }
    }
    for (const SloKey& slo : kSloKeys) {
      const auto found = slos->find(slo.key);
      if (found == slos->end() || found->is_null()) continue;
      const std::optional<double> number = NumberIn(*found);
      // Go's and Python's writers use 0 and infinity for a target that is not set.
      if (number && (*number == 0 || *number == std::numeric_limits<double>::infinity())) continue;
      if (number && limits::kMeasured.Contains(*number)) {
        profile_.slo.*slo.member = number;
      } else {
        AddFault(Severity::kError,
                 "`slos." + std::string(slo.key) +
                     "` is no number above 0 and up to 1000000000, and is ignored; correct it");
      }
    }
  }

  const Json& root_;
  std::string_view name_;
  GpuProfile profile_;
  std::vector<ProfileFault> faults_;
};

void WriteMatrix(JsonWriter& json, std::string_view key, const BucketMatrix& matrix,
                 std::string_view hole) {
  json.Key(key).BeginArray();
  for (std::size_t row = 0; row < matrix.outputs(); ++row) {
    json.BeginArray();
    for (std::size_t column = 0; column < matrix.inputs(); ++column) {
      const double value = matrix.at(row, column);
      std::isfinite(value) ? json.Value(value) : json.Raw(hole);
    }
    json.EndArray();
  }
  json.EndArray();
}

void WriteAxis(JsonWriter& json, const BucketAxis& axis) {
  json.BeginArray();
  for (const Tokens centre : axis.centres()) json.Value(centre);
  json.EndArray();
}

}  // namespace

BucketAxis::BucketAxis(std::vector<Tokens> centres) : centres_(std::move(centres)) {
  for (std::size_t index = 1; index < centres_.size(); ++index) {
    borders_.push_back(static_cast<std::uint64_t>(centres_[index - 1]) *
                       static_cast<std::uint64_t>(centres_[index]));
  }
}

std::span<const DetailKey> DetailKeys() { return kDetailKeys; }

std::string CellName(Tokens output, Tokens input) {
  return "output " + std::to_string(output) + ", input " + std::to_string(input) + " tokens";
}

bool HasUsableCell(const GpuProfile& profile) {
  return std::ranges::any_of(profile.tput.values(), [](double tput) { return tput > 0; });
}

Result<ParsedProfile> ParseGpuProfile(std::string_view json, std::string_view name) {
  HEADRACE_ASSIGN(const Json root, ParsePythonJson(json, name));
  return Reader(root, name).Read();
}

std::string FormatGpuProfile(const GpuProfile& profile) {
  JsonWriter json(JsonWriter::Layout::kSpaced);
  const auto write_optional = [&](std::string_view key, const std::optional<BucketMatrix>& matrix) {
    if (matrix) WriteMatrix(json, key, *matrix, "null");
  };
  json.BeginObject().Member("gpu", profile.deployment).Member("cost", profile.cost);
  WriteMatrix(json, "tputs", profile.tput, "0");
  json.Key("indexes").BeginArray();
  WriteAxis(json, profile.outputs);
  WriteAxis(json, profile.inputs);
  json.EndArray().Member("created", profile.created);
  write_optional("e2e", profile.e2e);
  write_optional("ttft", profile.ttft);
  write_optional("tpot", profile.tpot);
  json.Key("slos").BeginObject().Member("percentile", profile.slo.percentile);
  for (const SloKey& slo : kSloKeys) {
    if (const std::optional<double>& target = profile.slo.*slo.member)
      json.Member(slo.key, *target);
  }
  json.EndObject();
  for (const DetailKey& detail : kDetailKeys) {
    write_optional(detail.key, profile.detail.*detail.member);
  }
  return json.EndObject().Take() + "\n";
}

}  // namespace headrace::profile
