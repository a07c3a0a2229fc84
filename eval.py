"""python eval.py … is kzoo eval …: see kzoo/programs/eval.py."""

import runpy

if __name__ == "__main__":
    runpy.run_module("kzoo.programs.eval", run_name="__main__", alter_sys=True)
