"""OpenAI Agents: guard the function, and make a tool of it. The model reads why it is denied; where
Pawl can't be asked, the run ends."""

from agents import Agent, RunContextWrapper, function_tool

import pawlhq as pawl


def told(_: RunContextWrapper[None], error: Exception) -> str:
    if not isinstance(error, pawl.DeniedError):
        raise error
    return f"Error: {error}"


@function_tool(failure_error_function=told)
@pawl.guard
async def send_mail(to: str) -> str:
    """Send an email."""
    return f"sent to {to}"


agent = Agent(name="support", tools=[send_mail])
