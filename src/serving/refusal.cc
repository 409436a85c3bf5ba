#include "serving/refusal.h"

#include <algorithm>
#include <cstdio>

#include "base/text.h"

namespace headrace::serving {
namespace {

using scheduler::Hold;
using scheduler::RefusalReason;

// Below ten seconds always in milliseconds, so that two of them can be compared.
std::string Milliseconds(Seconds seconds) {
  char text[32];
  std::snprintf(text, sizeof text, seconds < 10 ? "%.0f ms" : "%.3g s",
                seconds < 10 ? seconds * 1e3 : seconds);
  return text;
}

std::string Describe(const RefusalFacts::DeploymentFacts& deployment) {
  const scheduler::Verdict& verdict = deployment.verdict;
  if (!deployment.up && verdict.kind != scheduler::Verdict::Kind::kTooLong) return "down";
  switch (verdict.kind) {
    case scheduler::Verdict::Kind::kTooLong:
      return "its context of " + std::to_string(deployment.max_model_len) + " tokens is too short";
    case scheduler::Verdict::Kind::kInfeasible:
      return "no rate meets the SLO";
    case scheduler::Verdict::Kind::kUnknown:
      return std::string(ToString(verdict.cause));
    case scheduler::Verdict::Kind::kCandidate:
      if (!verdict.target) return "no SLO";
      return "expects " + Milliseconds(verdict.expected) + " of " +
             Milliseconds(verdict.target->seconds) + " allowed";
  }
  return "";
}

std::string DescribeTimeout(const std::string& size, const RefusalFacts& facts) {
  const std::string time = Milliseconds(facts.queue_timeout);
  switch (facts.hold) {
    case Hold::kPromise:
      return "No endpoint could take " + size + " within " + time + " without breaking promises (" +
             FormatFixed(facts.held_cost, 2) + " expected at the best one when it was first held).";
    case Hold::kLate:
    case Hold::kGaveUp:
      return "The SLO of " + size + " could no longer be met, and no endpoint had time to spare " +
             "for it within " + time + ".";
    case Hold::kNone:
    case Hold::kTurn:
    case Hold::kDown:
    case Hold::kNoRoom:
      break;
  }
  return "No endpoint became free for " + size + " within " + time + ".";
}

bool IsUpButTooShort(const RefusalFacts::DeploymentFacts& deployment) {
  return deployment.up && deployment.verdict.kind == scheduler::Verdict::Kind::kTooLong;
}

}  // namespace

std::string DescribeRefusal(const std::string& pool, const RefusalFacts& facts) {
  const std::string request =
      std::string("a request of ") + (facts.at_least ? "at least " : "about ");
  const std::string size = request + std::to_string(facts.prompt_tokens) + " prompt and " +
                           (facts.at_least ? "about " : "") + std::to_string(facts.output_tokens) +
                           " output tokens";
  std::string reasons;
  for (const RefusalFacts::DeploymentFacts& deployment : facts.deployments) {
    reasons += (reasons.empty() ? "" : ", ") + deployment.name + ": " + Describe(deployment);
  }
  const std::string offered =
      facts.limit == RefusalFacts::Limit::kSome ? " that the proxy offers" : "";
  std::string waited;
  switch (facts.reason) {
    case RefusalReason::kNoEndpoint:
      if (facts.limit == RefusalFacts::Limit::kNowhere) {
        return "None of the endpoints that the proxy offers for this request serves model '" +
               pool + "'.";
      }
      if (std::ranges::any_of(facts.deployments, IsUpButTooShort)) {
        return "No endpoint of model '" + pool + "'" + offered + " is up whose context holds " +
               request + std::to_string(facts.context) + " tokens (" + reasons + ").";
      }
      return "No endpoint of model '" + pool + "'" + offered + " is up" +
             (facts.drained > 0 ? " and not drained" : "") +
             (facts.hold == Hold::kDown ? ", after waiting " + Milliseconds(facts.queued) : "") +
             ".";
    case RefusalReason::kQueueFull:
      return "The queue of model '" + pool + "' is full (" + std::to_string(facts.waiting) +
             " requests are waiting).";
    case RefusalReason::kQueueTimeout:
      return DescribeTimeout(size, facts);
    case RefusalReason::kSloDeadline:
      waited = " any more after waiting " + Milliseconds(facts.queued);
      break;
    case RefusalReason::kSloUnattainable:
      break;
  }
  return "No GPU type can meet the SLO of " + size + waited + " (" + reasons + ").";
}

}  // namespace headrace::serving
