/// How the report looks: system fonts, colours for light and dark, marks that differ in shape too, for print.
enum PageStyle {
    static let css = """
        :root{color-scheme:light dark;--page:#f6f7f9;--card:#fff;--ink:#1b2430;--soft:#5b6675;--line:#dfe3e9;
        --good:#14804a;--good-bg:#dff5e8;--bad:#b42318;--bad-bg:#fde7e4;
        --s0:#1f6feb;--s1:#d1600a;--s2:#14804a;--s3:#8a3ffc;--s4:#c2185b;--s5:#00797a;--s6:#7a5c00;--s7:#4b5563}
        @media screen and (prefers-color-scheme:dark){:root{--page:#0f141a;--card:#171e27;--ink:#e6eaf0;--soft:#9aa7b6;
        --line:#2b3542;--good:#5fd69a;--good-bg:#10331f;--bad:#ff938a;--bad-bg:#431a17;
        --s0:#6cb0ff;--s1:#ffa657;--s2:#5fd69a;--s3:#bea0ff;--s4:#ff8ab5;--s5:#4fd1d1;--s6:#e3c04f;--s7:#aab4c2}}
        *{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);
        font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
        main{max-width:1000px;margin:0 auto;padding:28px 20px 40px}
        .kind{margin:0;color:var(--soft);font-size:13px;letter-spacing:.06em;text-transform:uppercase}
        h1{margin:2px 0 6px;font-size:28px;line-height:1.25}h2{margin:0 0 12px;font-size:20px}
        h3{margin:20px 0 8px;font-size:16px}section>h3:first-child{margin-top:0}
        p{max-width:80ch;margin:0 0 10px}.about{color:var(--soft)}
        .source{color:var(--soft);font-size:13px;margin:14px 0 16px;max-width:none}section .source{margin-bottom:0}
        code{font:13px/1.5 ui-monospace,"DejaVu Sans Mono",monospace;overflow-wrap:anywhere;color:var(--ink)}
        section{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:18px;margin:0 0 16px}
        figure{margin:16px 0}figcaption{font-weight:600;margin:0 0 6px}svg{display:block;width:100%;height:auto}
        .wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:14px}
        td,th{padding:5px 14px 5px 0;text-align:left;vertical-align:top;border-top:1px solid var(--line)}
        thead th{border-top:0;color:var(--soft);font-weight:600;vertical-align:bottom}
        td:last-child,th:last-child{padding-right:0}
        .number{text-align:right;font-variant-numeric:tabular-nums}td.number{white-space:nowrap}
        small{font-size:11px;font-weight:400;border:1px solid var(--line);border-radius:4px;padding:0 3px}
        .badge{display:inline-block;padding:0 9px;border-radius:99px;font-size:13px;font-weight:600;white-space:nowrap}
        .badge.good{color:var(--good);background:var(--good-bg)}.badge.bad{color:var(--bad);background:var(--bad-bg)}
        details{margin-top:12px;border-top:1px solid var(--line);padding-top:8px}summary{cursor:pointer;font-weight:600}
        .label{fill:var(--soft);font-size:13px}.name{fill:var(--ink);font-size:13px}
        .grid{stroke:var(--line);stroke-width:1}.axis{stroke:var(--soft);stroke-width:1}
        .band{fill:var(--page)}.curve{fill:none;stroke-width:2;stroke-linejoin:round}.whisker{stroke-width:1.5}
        .legend{display:flex;flex-wrap:wrap;gap:4px 18px;margin:8px 0 0;color:var(--ink);font-size:13px}
        .legend span{display:inline-flex;align-items:center;gap:6px}.legend svg{width:26px;height:14px;flex:none}
        .c0{--c:var(--s0)}.c1{--c:var(--s1)}.c2{--c:var(--s2)}.c3{--c:var(--s3)}
        .c4{--c:var(--s4)}.c5{--c:var(--s5)}.c6{--c:var(--s6)}.c7{--c:var(--s7)}
        .mark{fill:var(--c);stroke:var(--c);stroke-width:1.5}.mark.hollow{fill:var(--card)}
        .curve,.whisker{stroke:var(--c)}
        .printed{display:none}
        footer{color:var(--soft);font-size:13px}
        @media(max-width:640px){main{padding:18px 12px}section{padding:14px 12px}h1{font-size:22px}
        figure{overflow-x:auto}figure>svg{min-width:620px}}
        @media print{:root{--page:#fff}body{font-size:12px}main{max-width:none;padding:0}figure,tr{break-inside:avoid}
        section{border:0;padding:0}details::details-content{content-visibility:visible;height:auto}
        details.long{display:none}p.printed{display:block}table{font-size:10px}td,th{padding:1px 8px 1px 0}.badge{font-size:10px}}
        """
}
