"""Work on several processes and machines: shards of rows on a Ray cluster, ranks of one training.

In: rows and what makes a worker of them, or a module and a folder with its inputs. Out: results as they come.
Open first: spreading.py.
"""
