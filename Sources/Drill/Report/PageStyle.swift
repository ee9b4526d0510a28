/// How the report looks. System fonts, two sets of colours, nothing from outside.
enum PageStyle {
    static let css = """
        :root{color-scheme:light dark;--page:#f6f7f9;--card:#fff;--ink:#1b2430;--soft:#5b6675;--line:#dfe3e9;
        --steps:#1f6feb;--commits:#8a63d2;--reference:#e08600;--good:#14804a;--good-bg:#dff5e8;--bad:#b42318;
        --bad-bg:#fde7e4;--odd:#8a5a00;--odd-bg:#fdf0d5;--strike:#d1242f;--away:#f2a6a0;--span:#d1242f1a}
        @media(prefers-color-scheme:dark){:root{--page:#0f141a;--card:#171e27;--ink:#e6eaf0;--soft:#9aa7b6;--line:#2b3542;
        --steps:#6cb0ff;--commits:#bea0ff;--reference:#ffb454;--good:#5fd69a;--good-bg:#10331f;--bad:#ff938a;
        --bad-bg:#431a17;--odd:#f3c46b;--odd-bg:#3a2c0c;--strike:#ff7b72;--away:#7d3a36;--span:#ff7b7226}}
        *{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);
        font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
        main{max-width:1000px;margin:0 auto;padding:28px 20px 40px}
        .kind{margin:0;color:var(--soft);font-size:13px;letter-spacing:.06em;text-transform:uppercase}
        h1{margin:2px 0 6px;font-size:28px;line-height:1.25;overflow-wrap:anywhere}
        h2{margin:0 0 12px;font-size:18px}
        .about{margin:0 0 4px;color:var(--soft);max-width:75ch}
        .reason{margin:10px 0 0;font-weight:600;overflow-wrap:anywhere}
        .reason.good{color:var(--good)}.reason.bad{color:var(--bad)}.reason.odd{color:var(--odd)}
        .badge{display:inline-block;padding:1px 10px;border-radius:99px;font-size:13px;font-weight:600;line-height:1.6;
        white-space:nowrap;vertical-align:middle}
        .badge.good{color:var(--good);background:var(--good-bg)}.badge.bad{color:var(--bad);background:var(--bad-bg)}
        .badge.odd{color:var(--odd);background:var(--odd-bg)}
        .facts{display:grid;grid-template-columns:repeat(6,1fr);gap:10px;margin:20px 0 10px}
        .facts div{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:10px 12px}
        dt{color:var(--soft);font-size:13px}dd{margin:0;font-size:20px;font-weight:600;font-variant-numeric:tabular-nums}
        .again{margin:0 0 18px;color:var(--soft);font-size:14px}
        code{font:13px/1.5 ui-monospace,"DejaVu Sans Mono",monospace;background:var(--card);border:1px solid var(--line);
        border-radius:6px;padding:2px 6px;color:var(--ink);overflow-wrap:anywhere}
        section{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:18px;margin:0 0 16px}
        svg{display:block;width:100%;height:auto}.narrow{display:none}
        .label{fill:var(--soft);font-size:12px}.strong{fill:var(--ink);font-weight:600}
        .grid{stroke:var(--line);stroke-width:1}.lane{stroke:var(--line);stroke-width:2}
        .moment{stroke:var(--strike);stroke-width:1;stroke-dasharray:2 3}
        .curve{fill:none;stroke-width:2;stroke-linejoin:round}
        .steps-line{stroke:var(--steps)}.commits-line{stroke:var(--commits);stroke-dasharray:6 3}
        .reference-line{stroke:var(--reference);stroke-dasharray:5 4}
        .steps-fill{fill:var(--steps)}.commits-fill{fill:var(--commits)}
        .strike{fill:var(--strike);stroke:var(--card);stroke-width:1}.away{fill:var(--away)}
        .hurt{fill:none;stroke:var(--strike);stroke-dasharray:3 2}.noticed{fill:var(--ink)}.back{fill:var(--good)}
        .span{fill:var(--span)}.detect{fill:var(--reference)}.restore{fill:var(--steps)}.resume{fill:var(--good)}
        .legend{display:flex;flex-wrap:wrap;gap:6px 18px;margin:10px 0 0;color:var(--soft);font-size:13px}
        .legend span{display:inline-flex;align-items:center;gap:6px}.key{width:12px;height:12px;display:inline-block}
        .strike-key{background:var(--strike);clip-path:polygon(0 0,100% 0,50% 100%)}.noticed-key{background:var(--ink);width:3px}
        .away-key{background:var(--away);border-radius:2px}.back-key{background:var(--good);width:4px}
        .span-key{background:var(--span);border:1px solid var(--line)}
        table{border-collapse:collapse;width:100%}td,th{padding:8px 10px 8px 0;text-align:left;vertical-align:top;
        border-top:1px solid var(--line)}tr:first-child>*{border-top:0}
        .checks td:first-child{width:86px}.checks th{font-weight:600;width:210px;overflow-wrap:anywhere}
        td{overflow-wrap:anywhere}.method{display:block;color:var(--soft);font-size:13px}
        .times{margin:0 0 6px;font-variant-numeric:tabular-nums}.times td,.times th{padding:6px 10px 6px 0}
        .times td,.times thead th:not(:first-child){text-align:right}.times thead th{color:var(--soft);font-weight:400;font-size:13px}
        .times+.note{margin:6px 0 16px}
        .note{color:var(--soft);font-size:14px;margin:12px 0 0}
        .log td{font-size:14px;padding:5px 10px 5px 0}
        .log td:first-child{width:76px;white-space:nowrap;color:var(--soft);font-variant-numeric:tabular-nums}
        .strike-row b{color:var(--strike)}.bad-row td:last-child{color:var(--bad)}.good-row b{color:var(--good)}
        details{border-top:1px solid var(--line);padding:8px 0}details:first-of-type{border-top:0}
        summary{cursor:pointer}pre{overflow-x:auto;font:12px/1.5 ui-monospace,"DejaVu Sans Mono",monospace;color:var(--soft)}
        footer{color:var(--soft);font-size:13px}
        @media(max-width:860px){.facts{grid-template-columns:repeat(3,1fr)}}
        @media(max-width:640px){main{padding:18px 12px}.wide{display:none}.narrow{display:block}
        .facts{grid-template-columns:repeat(2,1fr)}section{padding:14px 12px}h1{font-size:22px}
        .times td,.times th{padding:5px 4px 5px 0;font-size:12.5px}.times thead th{font-size:11.5px}
        .checks tr{display:grid;grid-template-columns:auto 1fr;gap:2px 10px;border-top:1px solid var(--line);padding:10px 0}
        .checks tr:first-child{border-top:0}.checks td,.checks th{border:0;padding:0;width:auto}
        .checks td:first-child{width:auto}.checks td:last-child{grid-column:1/-1}}
        @media print{body{background:#fff}section{break-inside:avoid}}
        """
}
