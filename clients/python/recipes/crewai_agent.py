"""CrewAI: guard the function. It runs a tool that raises again, so a denial must be an answer: else
people would be asked three times."""

from crewai.tools import tool

import pawlhq as pawl


@pawl.guard(name="send_mail", on_denied="return")
def send(to: str) -> str:
    return f"sent to {to}"


@tool("send_mail")
def send_mail(to: str) -> str:
    """Send an email."""
    return str(send(to))
