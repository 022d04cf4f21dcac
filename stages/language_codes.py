"""Which label of a model a language goes by: models name English `en`, `eng` or `eng_Latn`."""

from collections.abc import Iterable

from schemas.check import nearest

# ISO 639-1, then ISO 639-3; where that is a macrolanguage, its member that models have for it comes behind.
CODES = """
aa aar, ab abk, ae ave, af afr, ak aka twi fat, am amh, an arg, ar ara arb, as asm, av ava, ay aym ayr, az aze azj azb,
ba bak, be bel, bg bul, bi bis, bm bam, bn ben, bo bod, br bre, bs bos, ca cat, ce che, ch cha, co cos, cr cre, cs ces,
cu chu, cv chv, cy cym, da dan, de deu, dv div, dz dzo, ee ewe, el ell, en eng, eo epo, es spa, et est ekk, eu eus,
fa fas pes prs, ff ful fuv, fi fin, fj fij, fo fao, fr fra, fy fry, ga gle, gd gla, gl glg, gn grn gug, gu guj, gv glv,
ha hau, he heb, hi hin, ho hmo, hr hrv, ht hat, hu hun, hy hye, hz her, ia ina, id ind, ie ile, ig ibo, ii iii, ik ipk,
io ido, is isl, it ita, iu iku ike, ja jpn, jv jav, ka kat, kg kon kng, ki kik, kj kua, kk kaz, kl kal, km khm, kn kan,
ko kor, kr kau knc, ks kas, ku kur kmr, kv kom kpv, kw cor, ky kir, la lat, lb ltz, lg lug, li lim, ln lin, lo lao,
lt lit, lu lub, lv lav lvs, mg mlg plt, mh mah, mi mri, mk mkd, ml mal, mn mon khk, mr mar, ms msa zsm, mt mlt, my mya,
na nau, nb nob, nd nde, ne nep npi, ng ndo, nl nld, nn nno, no nor nob, nr nbl, nv nav, ny nya, oc oci, oj oji,
om orm gaz, or ori ory, os oss, pa pan, pi pli, pl pol, ps pus pbt, pt por, qu que quy quz, rm roh, rn run, ro ron,
ru rus, rw kin, sa san, sc srd src, sd snd, se sme, sg sag, sh hbs, si sin, sk slk, sl slv, sm smo, sn sna, so som,
sq sqi als, sr srp, ss ssw, st sot, su sun, sv swe, sw swa swh, ta tam, te tel, tg tgk, th tha, ti tir, tk tuk,
tl tgl fil, tn tsn, to ton, tr tur, ts tso, tt tat, tw twi, ty tah, ug uig, uk ukr, ur urd, uz uzb uzn, ve ven, vi vie,
vo vol, wa wln, wo wol, xh xho, yi yid ydd, yo yor, za zha zyb, zh zho cmn, zu zul
"""
GROUPS = [frozenset(entry.split()) for entry in CODES.split(",")]
SHOWN = 4


def suggestion(language: str, labels: Iterable[str]) -> str:
    """`; did you mean 'eng_Latn'?` for `en` where the labels are such; else by spelling, or nothing."""
    known = list(labels)
    code = _code(language)
    same = {code}.union(*(group for group in GROUPS if code in group))
    found = [label for label in known if _code(label) in same]
    if not found:
        return nearest(language, known)
    spelled = nearest(language, found)
    return spelled or f"; did you mean {' or '.join(map(repr, found[:SHOWN]))}?"


def _code(label: str) -> str:
    """`eng` of `eng_Latn`, `pt` of `pt-BR`."""
    return label.replace("-", "_").partition("_")[0].lower()
