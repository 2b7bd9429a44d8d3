"""Values of scipy, statsmodels, limma and multtest that lib/metrics is compared with; writes expected.json beside itself.

    pip install numpy scipy statsmodels scikit-learn        apt-get install r-bioc-limma r-bioc-multtest
    python3 make_metrics_golden.py

Made with the versions that expected.json names.
"""
import json
import pathlib
import subprocess
import sys

import numpy as np
import scipy
import scipy.integrate
import scipy.optimize
import scipy.special
import scipy.stats as st
import sklearn
import statsmodels
import statsmodels.api as sm
import statsmodels.formula.api as smf
import statsmodels.stats.multitest as multitest
import statsmodels.stats.weightstats as weightstats
import pandas as pd
from sklearn.isotonic import IsotonicRegression

rng = np.random.default_rng(20260401)


def t_distribution():
    dfs = [1, 1.5, 2, 2.37, 4, 9.9, 30, 199, 1e4, 1e7]
    xs = [0, 1e-3, 0.3, 1, 2.776, 6, 25, 300]
    upper = [[x, df, float(st.t.sf(x, df))] for df in dfs for x in xs]
    ps = [1e-10, 1e-4, 0.005, 0.025, 0.2, 0.5, 0.9, 0.975, 0.9995]
    quantile = [[p, df, float(st.t.ppf(p, df))] for df in dfs for p in ps]
    return {"upper": upper, "quantile": quantile}


def special():
    xs = [0.05, 0.5, 1, 1.5, 2, 3.7, 10, 99.5, 5e5]
    return {
        "digamma": [[x, float(scipy.special.digamma(x))] for x in xs],
        "trigamma": [[x, float(scipy.special.polygamma(1, x))] for x in xs],
        "logGamma": [[x, float(scipy.special.gammaln(x))] for x in xs],
    }


def noncentral_t():
    # Of the integral itself, by adaptive quadrature: scipy.stats.nct is off by 1e-5 for some of these.
    def upper(t, df, ncp):
        f = lambda x: st.norm.sf(t * x - ncp) * st.chi.pdf(x * np.sqrt(df), df) * np.sqrt(df)
        return scipy.integrate.quad(f, 0, 1 + 12 / np.sqrt(2 * df), epsabs=1e-13, epsrel=1e-12, limit=500)[0]

    return [[t, df, ncp, upper(t, df, ncp)] for df in (1, 1.5, 2, 4.4, 30, 199) for t in (2.0, 4.303, 12.7) for ncp in (-1.0, 0.5, 3.0, 6.0)]


def adjusted():
    p = np.round(np.concatenate([rng.uniform(0, 0.01, 5), rng.uniform(0, 1, 9), [0.04, 0.04]]), 5)
    return {
        "p": p.tolist(),
        "holm": multitest.multipletests(p, method="holm")[1].tolist(),
        "by": multitest.multipletests(p, method="fdr_by")[1].tolist(),
    }


def anova(S, K):
    y = rng.normal(size=(S, 1)) * 0.7 + rng.normal(size=(1, K)) + rng.normal(size=(S, K)) * 0.5 + 0.3
    y = np.round(y, 4)
    frame = pd.DataFrame([(s, k, y[s, k]) for s in range(S) for k in range(K)], columns=["s", "k", "y"])
    table = sm.stats.anova_lm(smf.ols("y ~ C(s) + C(k)", frame).fit())
    ms = table["mean_sq"]
    return {"y": y.tolist(), "mean": float(y.mean()), "run": ms["C(s)"] / (S * K), "prompt": ms["C(k)"] / (S * K), "rest": ms["Residual"] / (S * K)}


def two_way_clusters():
    # Unequal clusters, many runs: the two-way robust variance with the same small-sample factors.
    S, C = 6, 9
    counts = rng.integers(1, 5, C)
    rows = []
    for s in range(S):
        a = rng.normal()
        for c in range(C):
            for k in range(counts[c]):
                rows.append((s, c, round(float(a + 0.5 * c % 3 + rng.normal()), 4)))
    frame = pd.DataFrame(rows, columns=["s", "c", "y"])
    u = frame.y - frame.y.mean()
    N = counts.sum()
    by_run = u.groupby(frame.s).sum() / N / S
    by_cluster = u.groupby(frame.c).sum() / N / S
    fit = lambda key: sm.OLS(frame.y, np.ones(len(frame))).fit(cov_type="cluster", cov_kwds={"groups": frame[key], "use_correction": False}).cov_params().iloc[0, 0]
    return {
        "counts": counts.tolist(),
        "y": frame.y.tolist(),
        "mean": float(frame.y.mean()),
        "run": fit("s") * S / (S - 1),
        "cluster": fit("c") * C / (C - 1),
    }


def equivalence():
    y = np.round(rng.normal(0.1, 0.6, 12), 4)
    sample = weightstats.DescrStatsW(y)
    return {"y": y.tolist(), "margins": [[m, float(sample.ttost_mean(-m, m)[0])] for m in (0.2, 0.5, 1.0)]}


def fieller():
    # Bounds as roots of the t test of a − ρ b = 0, found by bracketing, not by the quadratic.
    cases = []
    for a, b, aa, bb, ab, df in [(1.2, 4.0, 0.09, 0.25, 0.02, 4.2), (-0.5, 2.0, 0.04, 0.2, -0.05, 9), (0.0, 1.0, 0.01, 0.04, 0.0, 30)]:
        t = st.t.ppf(0.975, df)
        test = lambda r: (a - r * b) ** 2 - t * t * (aa - 2 * r * ab + r * r * bb)
        low = scipy.optimize.brentq(test, a / b - 50, a / b, xtol=1e-14)
        high = scipy.optimize.brentq(test, a / b, a / b + 50, xtol=1e-14)
        cases.append([a, b, aa, bb, ab, float(t), low, high])
    return cases


def isotone():
    y = np.round(np.cumsum(rng.normal(0.1, 1, 25)), 4)
    return {"y": y.tolist(), "fit": IsotonicRegression().fit_transform(np.arange(25), y).tolist()}


R = r"""
suppressMessages(library(limma)); suppressMessages(library(multtest))
set.seed(7)
out <- list()
vary <- function(v, df) { f <- squeezeVar(v, df); cat("squeeze", df, f$df.prior, f$var.prior, "\n"); cat("v", signif(v, 8), "\n"); cat("post", format(f$var.post, digits = 15), "\n") }
v <- signif(0.3 / rchisq(40, 6) * 6 * rchisq(40, 2) / 2, 8); options(digits = 15)
vary(v, 2); vary(signif(rchisq(30, 4) / 4, 8), 4); w <- v; w[3] <- 0; vary(w, 2)
x <- matrix(signif(rnorm(6 * 9), 4), 6); x[2, 1:4] <- x[2, 1:4] + 3; x[5, 1:4] <- x[5, 1:4] - 2
m <- mt.maxT(x, c(1, 1, 1, 1, 0, 0, 0, 0, 0), test = "t.equalvar", B = 0)
cat("\n"); for (i in 1:6) cat("row", format(x[i, ], digits = 15), "\n")
cat("adjp", format(m$adjp[order(m$index)], digits = 15), "\n")
cat("version", as.character(packageVersion("limma")), as.character(packageVersion("multtest")), "\n")
"""


def bioconductor():
    lines = subprocess.run(["Rscript", "-e", R], check=True, capture_output=True, text=True).stdout.splitlines()
    squeeze, rows, result = [], [], {}
    for line in lines:
        name, *values = line.split() or [""]
        if name == "squeeze":
            df, prior, variance = values
            squeeze.append({"df": float(df), "priorDf": None if prior == "Inf" else float(prior), "priorVariance": float(variance)})
        elif name == "v":
            squeeze[-1]["variances"] = [float(x) for x in values]
        elif name == "post":
            squeeze[-1]["posterior"] = [float(x) for x in values]
        elif name == "row":
            rows.append([float(x) for x in values])
        elif name == "adjp":
            result["maxT"] = {"cells": rows, "induced": 4, "adjusted": [float(x) for x in values]}
        elif name == "version":
            result["versions"] = values
    return squeeze, result


squeeze, rest = bioconductor()
expected = {
    "versions": {
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "statsmodels": statsmodels.__version__,
        "scikit-learn": sklearn.__version__,
        "limma": rest["versions"][0],
        "multtest": rest["versions"][1],
        "python": sys.version.split()[0],
    },
    "t": t_distribution(),
    "special": special(),
    "noncentralT": noncentral_t(),
    "adjusted": adjusted(),
    "anova": [anova(3, 8), anova(5, 12)],
    "clusters": two_way_clusters(),
    "equivalence": equivalence(),
    "fieller": fieller(),
    "isotonic": isotone(),
    "squeezeVar": squeeze,
    "maxT": rest["maxT"],
}
path = pathlib.Path(__file__).with_name("expected.json")
lines = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in expected.items()]
path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
