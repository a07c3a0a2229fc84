"""python -m kzoo.report, which is kzoo/programs/report.py."""

import runpy

if __name__ == "__main__":
    runpy.run_module("kzoo.programs.report", run_name="__main__", alter_sys=True)
