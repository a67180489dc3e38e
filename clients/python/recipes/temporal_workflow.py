"""Temporal's Python SDK: inside a workflow the guard is a child workflow, GuardedCall. Pawl's worker
runs it, and hands the tool, an activity, to this program's task queue (tools.yaml):

    tools:
      - name: send_reminder
        schema: {type: object, required: [to], properties: {to: {type: string}}, additionalProperties: false}
        activity: {task_queue: support, timeout: 30s}
"""

from typing import Any

from temporalio import activity, workflow
from temporalio.exceptions import ApplicationError


@activity.defn(name="send_reminder")
async def send_reminder(args: dict[str, Any]) -> str:
    return f"sent to {args['to']}"


async def guarded(tool: str, args: dict[str, Any], **about: Any) -> Any:
    """Calls a tool that Pawl lets run, from a workflow. It waits as long as people do."""
    outcome: dict[str, Any] = await workflow.execute_child_workflow(
        "GuardedCall",
        {"tool": tool, "args": args, "agent": "support", **about},
        id=f"{tool}-{workflow.uuid4()}",
        task_queue="pawl",
        parent_close_policy=workflow.ParentClosePolicy.REQUEST_CANCEL,
    )
    if outcome["status"] == "executed":
        return outcome["result"]
    error = outcome.get("error", {})
    raise ApplicationError(
        f"{tool}: {outcome['status']}: {error.get('message', '')}", type=outcome["status"], non_retryable=True
    )


@workflow.defn
class Support:
    @workflow.run
    async def run(self, to: str) -> str:
        return str(await guarded("send_reminder", {"to": to}, reason="the customer asked for it"))
