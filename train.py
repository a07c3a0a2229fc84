"""python train.py … is kzoo train …: see kzoo/programs/train/."""

import runpy

if __name__ == "__main__":
    runpy.run_module("kzoo.programs.train", run_name="__main__", alter_sys=True)
