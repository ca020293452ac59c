"""Stack traces in a prompt: which one is found, and what it is called."""

from __future__ import annotations

import pytest

from trio_gateway.core.summary.prompt_traces import HEADLINE, MOST_STACKS, find_trace
from trio_gateway.core.summary.steps import at_once

TRACEBACK = "Traceback (most recent call last):\n"
FRAME = '  File "a.py", line 1, in f\n    g()\n'
JAVA = "com.acme.LoadException: oops\n\tat com.acme.Users.load(Users.java:12)\n\tat com.acme.Main.main(Main.java:5)\n"
JAVASCRIPT = "TypeError: oops\n    at async render (/srv/app.js:10:5)\n"

TRACES = [
    ("", None),
    ("Nothing of the kind. \n at home\n", None),
    (TRACEBACK + FRAME + "KeyError: 'a'\n", "a Python traceback: KeyError in f"),
    (TRACEBACK + FRAME + FRAME.replace("f", "g") + "a.b.MyError", "a Python traceback: MyError in g"),
    (TRACEBACK + FRAME.replace("f", "<module>") + "E", "a Python traceback: E"),
    (TRACEBACK + "  x\nE", "a Python traceback: E"),
    # cut off, or no trace: the next one counts
    (TRACEBACK + FRAME + "\n(and so on)", None),
    (TRACEBACK, None),
    (TRACEBACK + "E", None),
    (TRACEBACK + FRAME + "\n" + TRACEBACK + FRAME + "E", "a Python traceback: E in f"),
    (JAVA, "a Java stack trace: LoadException in com.acme.Users.load"),
    ('Exception in thread "main" ' + JAVA, "a Java stack trace: LoadException in com.acme.Users.load"),
    ("java.lang.Error.\n\tat a(b)", "a Java stack trace: Error in a"),
    # without a name with a full stop in it, or with spaces before "at", it is none of Java's
    ("Error\n\tat a(b)", None),
    ("x\n\tat a(b)\n" + JAVA, "a Java stack trace: LoadException in com.acme.Users.load"),
    (JAVA.replace("\t", "  "), None),
    (JAVASCRIPT, "a JavaScript stack trace: TypeError in render"),
    ("Uncaught " + JAVASCRIPT, "a JavaScript stack trace: TypeError in render"),
    ("Error: x\n  at y\n" + JAVASCRIPT, "a JavaScript stack trace: Error"),
    ("Errors: x\n  at y\nError: z", None),
    ("Error: x", None),
    ("thread 'main' panicked at src/main.rs:3:5:\nx", "a Rust panic in src/main.rs"),
    ("thread 'main' panicked at x.rsx", "a Rust panic"),
    (
        "panic: oops\n\ngoroutine 1 [running]:\nmain.(*T).load(0x1)\nmain.main()\n",
        "a Go panic in main.(*T).load",
    ),
    ("do not panic: x", None),
    ("x " * HEADLINE + JAVASCRIPT, "a JavaScript stack trace: TypeError in render"),
    (JAVASCRIPT.replace("oops", "oops " * HEADLINE), None),
    ("x\n  at y\n" * (MOST_STACKS - 1) + JAVASCRIPT, "a JavaScript stack trace: TypeError in render"),
    ("x\n  at y\n" * MOST_STACKS + JAVASCRIPT, None),
]


@pytest.mark.parametrize(("text", "name"), TRACES)
def test_traces(text: str, name: str | None) -> None:
    trace = at_once(find_trace(text))
    assert (trace and trace.name) == name


def test_a_trace_is_where_it_stands() -> None:
    for before, after in [("Why?\n", "\nThanks."), ("Log: ", "")]:
        for text in (JAVA, JAVASCRIPT, TRACEBACK + FRAME + "KeyError: 'a'", "thread 'x' panicked at y"):
            trace = at_once(find_trace(before + text + after))
            assert trace is not None
            assert (before + text + after)[trace.start : trace.end].strip() == text.strip()
