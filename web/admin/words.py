"""Every word of the admin page: key -> (English, Chinese)."""

from __future__ import annotations

WORDS: dict[str, tuple[str, str]] = {
    # frame
    "admin": ("Hybrid admin", "Hybrid 管理"),
    "skip": ("Skip to content", "跳到内容"),
    "navigation": ("Pages", "页面"),
    "theme": ("Switch between light and dark", "切换浅色与深色"),
    "other_language": ("中文", "English"),
    "sign_out": ("Sign out", "退出登录"),
    "shop": ("Search page", "搜索页"),
    "viewer": ("viewer", "查看者"),
    "editor": ("editor", "编辑者"),
    "refresh": ("Refresh", "刷新"),
    "table": ("As a table", "以表格查看"),
    "days_ago": ("{n} d ago", "{n} 天前"),
    "hours_ago": ("{n} h ago", "{n} 小时前"),
    "minutes_ago": ("{n} min ago", "{n} 分钟前"),
    "seconds_ago": ("{n} s ago", "{n} 秒前"),
    "previous": ("Newer", "较新"),
    "next": ("Older", "较旧"),
    "error_title": ("That did not work", "操作未成功"),
    "error_back": ("Back to the overview", "返回概览"),
    # sign-in
    "sign_in": ("Sign in", "登录"),
    "name": ("Name", "用户名"),
    "password": ("Password", "密码"),
    "sign_in_wrong": ("The name or the password is wrong.", "用户名或密码错误。"),
    "sign_in_throttled": ("Too many attempts. Wait a minute, then try again.", "尝试次数过多，请稍候一分钟再试。"),
    "sign_in_plain": (
        "A password is not taken over plain http from another machine. Use https; where a proxy ends it, set "
        "HYBRID_TRUSTED_PROXIES=1.",
        "不接受来自其他机器的明文 http 密码。请使用 https；若由代理终结 https，请设置 HYBRID_TRUSTED_PROXIES=1。",
    ),
    "sign_in_none": (
        "There is no account yet. Make one where the layer is installed:",
        "还没有账号。请在安装了本系统的机器上创建：",
    ),
    # overview
    "overview": ("Overview", "概览"),
    # audit
    "audit": ("Audit", "操作记录"),
    "audit_lead": (
        "Who did what, and when. Nothing can be taken out of this list.",
        "谁在何时做了什么。此列表不可删改。",
    ),
    "audit_empty": ("Nothing was changed yet.", "还没有任何改动。"),
    "when": ("When", "时间"),
    "who": ("Who", "操作者"),
    "what": ("What", "操作"),
    "index": ("Index", "索引"),
    "outcome": ("Outcome", "结果"),
    "details": ("Details", "详情"),
    "outcome_done": ("done", "完成"),
    "outcome_refused": ("refused", "被拒绝"),
    "outcome_failed": ("failed", "失败"),
}
