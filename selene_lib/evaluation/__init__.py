"""From judgements to scores: metrics, conventions, domains, prompt formats, arena, audit."""
