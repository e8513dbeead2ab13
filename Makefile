# terralive: everything a newcomer types. POSIX commands, GNU make 3.81 (macOS) or newer.
.POSIX:
SHELL = /bin/sh
BIN = .venv/bin
STAMP = .venv/.terralive-ready
# OpenTofu serves where there is no terraform. Without a registry, providers come from a mirror on this machine.
WITH_TERRAFORM = TERRALIVE_TERRAFORM_BINARY="$$(scripts/preflight --terraform)" \
	TERRALIVE_PROVIDER_MIRROR="$$(scripts/provider-mirror)"

# A Terraform run mostly waits, so there are two processes more than there are cores. The tests of one file share what they
# have deployed, so a file stays in one process. The longest file begins.
PROCESSES = $$($(BIN)/python -c 'import os; print(min(5, (os.cpu_count() or 1) + 2))')
IN_PARALLEL = --numprocesses $(PROCESSES) --dist loadfile --no-loadscope-reorder
ALL_TESTS = tests/integration/sandbox/test_everything.py tests/e2e tests/integration tests/contract tests/unit
# What to test, and pytest's options: make test ARGS="tests/unit/relay -k lease"
ARGS =

.PHONY: help demo live test unit check format docs template bench soak kill dist clean preflight
.DEFAULT_GOAL := help

help:
	@echo "terralive: live AWS Lambda development for teams on Terraform"
	@echo
	@echo "  make demo    see it work, in a sandbox on this machine (needs Terraform, no AWS account)"
	@echo "  make live    the example app live in the sandbox, until Ctrl-C"
	@echo "  make unit    the unit tests: a minute, no Terraform"
	@echo "  make test    all tests (15 to 20 minutes); ARGS='tests/unit/relay -k lease' for some of them"
	@echo "  make check   lint, types, import rules"
	@echo "  make bench   measurements"
	@echo "  make soak    10,000 invocations under faults, nothing lost (20 minutes; WITH='--seed 1', '--help')"
	@echo "  make kill    kill -9 and Ctrl-C at 18 points, with an app of each kind (one to two hours; WITH='--kinds image', '--help')"
	@echo "  make docs    docs/CONFIGURATION.md and docs/output.schema.json from the code"
	@echo "  make template  the debug stack's template.tf.json from its CDK for Terraform code (needs Node.js)"
	@echo "  make dist    wheel and sdist in dist/, installed and run in an empty virtual environment"
	@echo "  make format  format the code"
	@echo "  make clean   remove .venv and caches"

preflight:
	@scripts/preflight

# AWS's own Node.js client, which tests hold terralive's against; they are skipped by name where there is no npm.
ORACLE = tests/contract/workers/node

# Another emulator of AWS, which needs another botocore. Without it, its tests are skipped by name.
EMULATOR = "ministack>=1.5,<2" boto3

# Python compiles what it imports. pip would compile everything.
INSTALL = pip install --quiet --quiet --no-compile --disable-pip-version-check --no-input
SET_UP_ORACLE = { ! command -v npm >/dev/null 2>&1 || { mkdir -p .venv/aws-lambda-ric && \
	cp -R $(ORACLE)/. .venv/aws-lambda-ric/ && \
	npm --prefix .venv/aws-lambda-ric ci --ignore-scripts --no-audit --no-fund --silent; }; }
SET_UP_EMULATOR = { $(BIN)/python -m venv .venv/ministack && \
	.venv/ministack/bin/python -m $(INSTALL) $(EMULATOR) || rm -rf .venv/ministack; }

$(STAMP): pyproject.toml scripts/preflight scripts/docker-registry $(ORACLE)/package-lock.json
	@scripts/preflight
	@echo "Setting up .venv with everything terralive needs (2 to 10 minutes, once; 1 GB) ..."
	@"$$(scripts/preflight --python)" -m venv .venv
	@$(SET_UP_ORACLE) & oracle=$$!; $(SET_UP_EMULATOR) & emulator=$$!; \
		scripts/docker-registry .venv/docker-registry & registry=$$!; \
		$(BIN)/python -m $(INSTALL) -e ".[$$(scripts/preflight --extras)]" && \
		wait $$oracle && wait $$emulator && wait $$registry
	@touch $(STAMP)
	@echo "Done."

demo: preflight $(STAMP)
	@$(WITH_TERRAFORM) $(BIN)/python scripts/demo.py

live: preflight $(STAMP)
	@# Ctrl-C is the normal end, and no error of make's.
	@trap : INT; $(WITH_TERRAFORM) $(BIN)/terralive --project examples/sns_demo --sandbox start --yes || [ $$? -eq 130 ]

# Each test of the command line starts Python. With PYTHONDONTWRITEBYTECODE each start would compile the code again.
CODE = cli relay sandbox stub_src terraform workers testing

test: preflight $(STAMP)
	@$(BIN)/python -m compileall -q $(CODE)
	@set -- $(ARGS); [ $$# -gt 0 ] || set -- $(ALL_TESTS); \
		$(WITH_TERRAFORM) $(BIN)/python -m pytest $(IN_PARALLEL) "$$@"

unit: $(STAMP)
	@$(BIN)/python -m pytest --quiet $(IN_PARALLEL) tests/unit $(ARGS)

check: preflight $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml

format: $(STAMP)
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

docs: $(STAMP)
	@mkdir -p docs
	@$(BIN)/python -m terralive_cli.configuration.reference > docs/CONFIGURATION.md
	@$(BIN)/python -m terralive_cli.output.documents.schema > docs/output.schema.json

TEMPLATE = terraform/terralive_terraform/debug_stack/template.tf.json
template: $(STAMP)
	@$(BIN)/python -m terralive_terraform.debug_stack.synth > $(TEMPLATE).new && mv $(TEMPLATE).new $(TEMPLATE)

bench: preflight $(STAMP)
	@set -e; for file in bench/bench_*.py; do \
		echo "$$file"; $(WITH_TERRAFORM) $(BIN)/python "$$file"; \
	done

soak: preflight $(STAMP)
	@$(WITH_TERRAFORM) $(BIN)/python -m terralive_testing.soak $(WITH)

kill: preflight $(STAMP)
	@$(WITH_TERRAFORM) $(BIN)/python -m terralive_testing.kill $(WITH)

dist: $(STAMP)
	@scripts/check-distribution

clean:
	rm -rf .venv dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
