"""Asks the engines that policies of other tools were written for. Standard input is a JSON object:

  capfence:   a list of {text, calls: [{capability, context, payload}]}
  approvekit: a list of {text, tools}
  agentguard: a list of names

Standard output is one with the answers in the same places."""

import json
import sys

import yaml
from agentguard.core import classify
from approvekit.policy import Policy as ApproveKitPolicy
from capfence.core.policy import Policy as CapFencePolicy


def capfence(file):
    policy = CapFencePolicy(yaml.safe_load(file["text"]))
    return [policy.evaluate(c["capability"], c["context"], c["payload"]) for c in file["calls"]]


def approvekit(file):
    policy = ApproveKitPolicy.from_dict(yaml.safe_load(file["text"]))

    def answer(tool):
        rule = policy.evaluate(tool)
        if not rule.require_approval or rule.auto_approve:
            return "allow"
        return "require_approval" if rule.timeout > 0 else "deny"

    return [answer(tool) for tool in file["tools"]]


asked = json.load(sys.stdin)
json.dump(
    {
        "capfence": [capfence(f) for f in asked["capfence"]],
        "approvekit": [approvekit(f) for f in asked["approvekit"]],
        "agentguard": [classify(name) or "" for name in asked["agentguard"]],
    },
    sys.stdout,
)
