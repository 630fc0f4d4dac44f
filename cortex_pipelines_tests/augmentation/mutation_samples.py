"""A text in each language in which every operator that claims the language finds a place."""

SAMPLES = {
    "python": '''
@register
class A(B):
    @property
    async def f(self, a, b=None, *, flag=True):
        """Doc."""
        if a is None:
            return None
        if a and b:
            self.x = 1
        elif flag:
            self.y = self.x
        elif b:
            self.x = 2
        else:
            self.z = self.y
        if b:
            go()
        else:
            stop()
        total = a + 1 - b
        total += 2
        name = self.a
        share = total / b
        mask = a & 7
        found = a in b
        same = a == b
        for x in [1, 2]:
            if x < total and not flag or x == 3:
                continue
            self.run(x, "word", key=total)
        for y in b:
            total += y
        return total

    def g(self, low, high):
        super().g(low)
        while low < high < self.most:
            low = self.step(low)
        try:
            value = int(low.strip())
        except ValueError as error:
            raise KeyError("x") from error
        finally:
            done(low, high)
        with self.lock:
            self.value = self.table.get(low, high)
        save(low=low, high=high)
        await_it = low if high else value
        self.send(["left", "right"])
        return -value

    async def h(self, a, b):
        return await self.get(a, b)

    async def plain(self):
        self.a = 1
''',
    "javascript": """
class A extends B {
  static async f(a, b = 1, c) {
    super.f(a);
    if (a === null) { return null; }
    if (a === b) { go(b); } else { stop(b); }
    let total = a - b;
    total += 2; total++;
    const mask = a & 7, sum = a + b + c, name = this.a, at = a <= b;
    this.x = 1; this.y = this.x;
    for (const x of [1, 2]) {
      if (x < total && !b) { continue; }
      this.run(x, "word", true);
      this.run(x, "other", false);
    }
    while (total < b) { total = next(total, b); }
    switch (a) { case 1: go(b); break; case 2: stop(b); break; default: end(); }
    try { this.t(); } catch (e) { throw new Error("x"); } finally { u(); }
    const value = await this.get(a, b);
    const k = a ?? b, m = a ? b : c, o = { left: a, right: b }, s = k.trim();
    for (const y of b) {
      go(y);
    }
    return k.startsWith(s) && value?.length;
  }
}
""",
    "java": """
class A extends B {
  @Cached
  public static synchronized int f(int a, int b, int x) {
    super.f(a, b);
    if (a == 0) { return 0; }
    if (a <= b) { go(b); } else { stop(b); }
    int total = a - b;
    int sum = a + b + x, mask = a & 7, y = this.x;
    total += 2; total++; this.n = total; this.k = this.n;
    for (int i = 0; i < 3; i++) {
      if (i < total && !flag) { continue; }
      run(i, "word", true);
      run(i, "other", false);
    }
    while (total > 3) { total = next(total, b); }
    switch (a) { case 1: go(b); break; case 2: stop(b); break; default: end(); }
    try { t(); } catch (IOException e) { throw new RuntimeException(e); } finally { u(); }
    int m = a > b ? a : b;
    String s = name.trim();
    int[] parts = new int[] {1, 2};
    int got = map.getOrDefault(a, b);
    for (int part : parts) {
      go(part);
    }
    return name.startsWith(s) ? -total : b;
  }
}
""",
    "go": """
package p

func (s *S) f(a int, b int, x int) int {
	if a == 0 {
		return 0
	}
	if a <= b {
		run(a, "word", true)
	} else {
		stop(a, "other", false)
	}
	total := a - b
	total += 2
	total++
	sum, mask := a+b+x, a&7
	s.n = s.x
	for _, i := range []int{1, 2, 3} {
		if i < total && !flag {
			continue
		}
		go run(i, "word", true)
	}
	for total > 3 {
		total = next(total)
	}
	for i := 0; i < 3; i++ {
		run(i, "word", true)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch a {
	case 1:
		run(a, "x", true)
	case 2:
		run(b, "y", true)
	}
	name := strings.TrimSpace(label)
	if strings.HasPrefix(name, label) {
		panic("x")
	}
	for _, part := range parts {
		run(part, "z", true)
	}
	return -total
}
""",
    "rust": """
impl A {
    #[cached]
    pub async fn f(&self, a: i32, b: i32, x: i32) -> Result<i32, E> {
        if a == 0 { return Ok(0); }
        if a <= b { go(b); } else { stop(b); }
        let mut total = a - b;
        total += 2;
        let sum = a + b + x;
        let mask = a & 7;
        let left = self.x;
        let right = self.y;
        for i in [1, 2] {
            if i < total && !flag { continue; }
            run(i, "word", true);
            run(i, "other", false);
        }
        while total > 3 { total = next(total, b); }
        match a { 1 => go(b), 2 => stop(b), _ => end(), }
        let value = get(a, b).await?;
        let name = label.trim().starts_with(value);
        let copy = value.clone();
        let some = found.unwrap_or(b);
        let point = P { left: a, right: b };
        unsafe { risky(a); }
        panic!("x");
        for part in parts {
            go(part);
        }
        return Ok(-total);
    }
}
""",
}
SAMPLES["typescript"] = (
    SAMPLES["javascript"]
    .replace("static async f(a, b = 1, c)", "@cached static async f(a: number, b = 1, c?: string)")
    .replace("let total = a - b", "let total: number = a - b")
)
