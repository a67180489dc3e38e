"""Pydantic AI: guard the function, and let the model read denials, once; a second one ends the run."""

from pydantic_ai import Agent, ModelRetry

import pawlhq as pawl

agent: Agent[None, str] = Agent()
guarded = pawl.guard(name="send_mail")


@guarded
async def send(to: str) -> str:
    return f"sent to {to}"


@agent.tool_plain
async def send_mail(to: str) -> str:
    """Send an email."""
    try:
        return await send(to)
    except pawl.DeniedError as denied:
        raise ModelRetry(str(denied)) from denied
