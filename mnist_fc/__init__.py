"""Train a fully connected network on MNIST on the CPU, watch it learn, draw a digit and see it read.

Start with config.py, which has every setting, and training/engine.py, which trains; then views/page.py for the page or
cli/main.py for the command line. Each package's docstring says what it is for and where to start reading.

Each package imports only what stands below it:

    app, __main__
    views                           the page; the only code that knows Streamlit
    server, cli                     processes and the queue of jobs; the command line
    sweep, reading, benchmark
    training, export
    runs, analysis, data
    network, drawing
    config, records, files          every setting; what a run yields; reading and writing files
    cpus, garbage                   the cores that this process may use; garbage collection at start

pyproject.toml states this as contracts, which import-linter checks.
"""
