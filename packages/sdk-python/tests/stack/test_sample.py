"""The specification's Python sample, as written, with the real supabase package."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from supabase import create_client
from supabase.lib.client_options import SyncClientOptions

from agent_launchpad import AgentLaunchpadClient

from .conftest import Stack

SAMPLE = """\
from supabase import create_client, Client
from agent_launchpad import AgentLaunchpadClient

# Initialize Supabase client
supabase: Client = create_client(
    supabase_url=os.environ.get("SUPABASE_URL"),
    supabase_key=os.environ.get("SUPABASE_ANON_KEY")
)

# Initialize Agent Launchpad client
client = AgentLaunchpadClient(
    supabase_client=supabase,
    base_url='https://api.yourdomain.com'
)

# Authenticate user
auth_response = supabase.auth.sign_in_with_password({
    "email": "user@example.com",
    "password": "password"
})

# Create agent
agent = client.agents.create(
    agent_name='my-bot',
    description='My AI bot',
    supabase_config={
        'project_ref': 'your-project-ref',
        'real_time': {'enabled': True}
    }
)

# Get status
status = client.agents.get_status(agent['agentId'])

# Subscribe to real-time updates
def handle_update(payload):
    print(f"Agent update: {payload}")

client.subscribe_to_agent(agent['agentId'], handle_update)
"""


EMAIL, PASSWORD = "user@example.com", "password"


@pytest.fixture
def program(stack: Stack, tmp_path: Path) -> Iterator[Path]:
    """The sample in a file: it lacks `import os`, and its address is the stack's."""
    key = {"apikey": stack.key}
    user: Any = {"email": EMAIL, "password": PASSWORD}
    httpx.post(f"{stack.url}/auth/v1/signup", headers=key, json=user)  # or it is there already
    path = tmp_path / "sample.py"
    path.write_text("import os\n\n" + SAMPLE.replace("https://api.yourdomain.com", stack.url), "utf8")
    yield path
    with httpx.Client() as http:
        supabase = create_client(stack.url, stack.key, SyncClientOptions(httpx_client=http, auto_refresh_token=False))
        supabase.auth.sign_in_with_password(user)
        with AgentLaunchpadClient(supabase, stack.url) as client:
            for agent in list(client.agents.iterate()):
                if agent["status"] != "DELETING":
                    client.agents.delete(agent["agentId"])


def start(program: Path, stack: Stack) -> subprocess.Popen[str]:
    source = Path(__file__).resolve().parents[2] / "src"
    environment = {
        **os.environ,
        "SUPABASE_URL": stack.url,
        "SUPABASE_ANON_KEY": stack.key,
        "PYTHONPATH": str(source),
        "PYTHONUNBUFFERED": "1",
    }
    return subprocess.Popen(
        [sys.executable, str(program)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_the_sample_shows_the_agents_updates_until_it_is_interrupted(program: Path, stack: Stack) -> None:
    with start(program, stack) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            # It may be deployed before the subscription begins: then the present status says so.
            if "'to_phase': 'DEPLOYED'" in line or "'status': 'DEPLOYED'" in line:
                break
        assert process.stderr is not None
        said = process.stderr.readline()  # at the end of the program's main part
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=20)
    assert lines, said + errors
    assert all(re.match(r"Agent update: \{'type': '(status|event|log|metrics)', ", line) for line in lines), lines
    assert "press Ctrl-C" in said
    assert (process.returncode, errors) == (0, ""), rest


def test_an_exception_ends_the_program_though_it_is_subscribed(program: Path, stack: Stack) -> None:
    program.write_text(program.read_text("utf8") + "\nraise SystemError('a mistake')\n", "utf8")
    with start(program, stack) as process:
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "a mistake" in errors


def test_unsubscribing_and_daemons_end_the_program(program: Path, stack: Stack) -> None:
    subscribe = "client.subscribe_to_agent(agent['agentId'], handle_update)"
    text = program.read_text("utf8")
    program.write_text(
        text.replace(subscribe, f"unsubscribe = {subscribe}\nunsubscribe()\n")
        + "client.subscribe_to_agent(agent['agentId'], handle_update, daemon=True)\n",
        "utf8",
    )
    with start(program, stack) as process:
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")
