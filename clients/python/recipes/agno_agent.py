"""Agno: guard the function. A denial is the tool's error, which the model reads."""

from agno.agent import Agent

import pawlhq as pawl


@pawl.guard
def send_mail(to: str) -> str:
    """Send an email."""
    return f"sent to {to}"


agent = Agent(tools=[send_mail])
