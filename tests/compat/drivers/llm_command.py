"""The command ``llm``, configured by its file of further OpenAI models."""

import os
import re
import subprocess
import sys
import tempfile
from importlib.metadata import version
from inspect import getsource
from pathlib import Path

from tests.compat.drivers import PROMPT, TOOL_RESULT, Seen, look_up

MODEL = "- {{model_id: {0}, model_name: {0}, api_base: {1}/openai/v1, supports_tools: true}}\n"
FUNCTIONS = f"TOOL_RESULT, PROMPT = {TOOL_RESULT!r}, {PROMPT!r}\n{getsource(look_up)}"


def drive(url: str, cuts: list[str]) -> Seen:
    with tempfile.TemporaryDirectory() as folder:
        models = [MODEL.format(name, url) for name in ("default", "mock-tools", *cuts)]
        (Path(folder) / "extra-openai-models.yaml").write_text("".join(models), encoding="utf-8")

        def ask(model: str, *options: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-m", "llm", "-m", model, *options, PROMPT]
            environ = {**os.environ, "LLM_USER_PATH": folder}
            return subprocess.run(command, env=environ, capture_output=True, text=True, check=False)

        said = ask("default", "--usage")
        usage = re.search(r"Token usage: (\d+) input, (\d+) output", said.stderr)
        failed = [ask(model) for model in cuts]
        return Seen(
            version=version("llm"),
            text=said.stdout.strip(),
            reasoning=said.stderr if "Summary]" in said.stderr else "",
            reasoning_at="stderr",
            errors=[
                (f"exit code {each.returncode}" if each.returncode else "", each.stderr) for each in failed
            ],
            tools=ask("mock-tools", "--functions", FUNCTIONS).stdout.strip(),
            calls_tools=True,
            usage=[int(number) for number in usage.groups()] if usage else [],
        )
