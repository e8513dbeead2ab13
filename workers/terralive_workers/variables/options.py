"""Options that a variable may give to an interpreter, and the harmless ones among them.

An interpreter reads these variables as if they were part of its command line, so most options would
run code (`--import`, `-javaagent`, `-r`) or read and write files. Only options that change how the
function's own code runs are listed. Their documentation: https://nodejs.org/api/cli.html,
https://docs.oracle.com/en/java/javase/21/docs/specs/man/java.html and
https://docs.ruby-lang.org/en/master/ruby/options_md.html.
"""

from __future__ import annotations

import re
from typing import Final

_NODE: Final = re.compile(
    r"""--(?:
      enable-source-maps | (?:no-)?(?:deprecation|warnings|addons|network-family-autoselection)
    | (?:throw|trace|pending)-deprecation | trace-(?:warnings|uncaught|exit|sync-io)
    | disable-warning=[\w-]+ | unhandled-rejections=[a-z-]+ | conditions=[\w-]+
    | (?:max-(?:old-space|semi-space|http-header)-size|stack-trace-limit|stack-size)=\d+
    | network-family-autoselection-attempt-timeout=\d+ | dns-result-order=\w+
    | tls-(?:min|max)-v1\.[0-3] | disable-proto=(?:delete|throw) | frozen-intrinsics
    | (?:no-)?experimental-(?:fetch|websocket|global-webcrypto|vm-modules|require-module
                             |detect-module|strip-types|transform-types|eventsource)
    | preserve-symlinks | zero-fill-buffers | expose-gc | optimize-for-size
    )""",
    re.VERBOSE,
)
_JVM: Final = re.compile(
    r"""(?:
      -X(?:m[nsx]|ss)\d+[kKmMgG]? | -Xshare:(?:auto|on|off) | -(?:ea|da|server|client)
    | -XX:[+-](?:TieredCompilation|Use(?:Serial|Parallel|G1|Z|Shenandoah)GC|UseContainerSupport
                |UseStringDeduplication|UseCompressedOops|ExitOnOutOfMemoryError|AlwaysPreTouch)
    | -XX:(?:TieredStopAtLevel|MaxMetaspaceSize|MetaspaceSize|ReservedCodeCacheSize
            |MaxDirectMemorySize|ActiveProcessorCount|MaxGCPauseMillis)=\d+[kKmMgG]?
    | -XX:(?:Max|Min|Initial)RAMPercentage=[\d.]+
    | -D(?:file\.encoding|user\.(?:timezone|language|country)|java\.awt\.headless
          |java\.net\.preferIPv[46](?:Stack|Addresses))=[\w/+-]+
    )""",
    re.VERBOSE,
)
_RUBY: Final = re.compile(
    r"-W[012]?|-W:(?:no-)?\w+|-w|--(?:yjit|jit|rjit)|--(?:en|dis)able[=-](?:yjit|jit|gems"
    r"|frozen-string-literal)"
)

_ALLOWED: Final = {
    "NODE_OPTIONS": _NODE,
    "JAVA_TOOL_OPTIONS": _JVM,
    "_JAVA_OPTIONS": _JVM,
    "JDK_JAVA_OPTIONS": _JVM,
    "JAVA_OPTS": _JVM,
    "RUBYOPT": _RUBY,
}


def holds_options(name: str) -> bool:
    """Return whether an interpreter reads this variable as command line options."""
    return name in _ALLOWED


def harmless_options(name: str, value: str) -> str:
    """Return the harmless options of this variable, separated by spaces."""
    return " ".join(option for option in value.split() if _is_harmless(name, option))


def _is_harmless(name: str, option: str) -> bool:
    # Node.js reads `--max_old_space_size` as `--max-old-space-size`.
    option_name, equals, argument = option.partition("=")
    normal = option_name.replace("_", "-") + equals + argument
    return _ALLOWED[name].fullmatch(normal) is not None
