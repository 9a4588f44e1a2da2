// Watching a page while it scrolls: what stands where in each frame, and how long its main thread was busy.

/** Begins to watch the rows of the history. `window.watched.end()` gives what was seen. */
export function watchRows(page) {
  return page.evaluate(() => {
    const scroller = document.querySelector('[data-testid=history]');
    const problems = [];
    const seen = new Set();
    const frames = [];
    let [lowest, highest] = [Infinity, -Infinity];
    let [travelled, mostRows, running] = [0, 0, true];
    let last = performance.now();
    let before = new Map();
    const note = (problem) => problems.length < 10 && problems.push(problem);

    function frame(now) {
      if (!running) return;
      frames.push(now - last);
      last = now;
      const { top, bottom } = scroller.getBoundingClientRect();
      const rows = [...scroller.querySelectorAll('[data-seq]')];
      mostRows = Math.max(mostRows, rows.length);
      const all = rows.map((row) => Number(row.dataset.seq));
      if (all.some((seq, at) => at > 0 && seq <= all[at - 1])) note(`not in order, or twice: ${all}`);
      const after = new Map();
      rows.forEach((row, at) => {
        const box = row.getBoundingClientRect();
        if (box.bottom > top && box.top < bottom) after.set(all[at], { top: box.top, isMessage: row.dataset.testid === 'message' });
      });
      follow(after);
      remember(after);
      before = after;
      requestAnimationFrame(frame);
    }

    /** What is in sight in two frames has moved as one. */
    function follow(after) {
      const moves = [...after].filter(([seq]) => before.has(seq)).map(([seq, row]) => row.top - before.get(seq).top);
      if (before.size > 0 && after.size > 0 && moves.length === 0) note(`lost sight between ${[...before.keys()]} and ${[...after.keys()]}`);
      if (moves.length === 0) return;
      if (Math.max(...moves) - Math.min(...moves) > 1.5) note(`rows moved apart: ${moves}`);
      travelled += moves[0];
    }

    /** What comes into sight for the first time lies outside of all that was seen. */
    function remember(after) {
      const fresh = [...after].filter(([seq]) => !(seq >= lowest && seq <= highest));
      for (const [seq, row] of after) if (row.isMessage) seen.add(seq);
      for (const [seq] of fresh) [lowest, highest] = [Math.min(lowest, seq), Math.max(highest, seq)];
      for (const [seq, row] of after) if (row.isMessage && !seen.has(seq)) note(`${seq} was left out`);
    }

    requestAnimationFrame(frame);
    window.watched = {
      end() {
        running = false;
        const sorted = frames.slice(1).sort((a, b) => a - b);
        return {
          problems,
          messages: seen.size,
          travelled,
          mostRows,
          frameP95: Math.round(sorted[Math.floor(sorted.length * 0.95)]),
          longestFrame: Math.round(sorted.at(-1)),
        };
      },
    };
  });
}

/**
 * Measures the main thread of a page. `end()` gives the tasks of 50 ms and more as the browser itself reports them, the
 * longest task by the clock, and the most time that one task had of the thread, which others on this machine cannot add to.
 */
export async function measure(page) {
  await page.evaluate(() => {
    window.longTasks = [];
    window.longTaskObserver?.disconnect();
    window.longTaskObserver = new PerformanceObserver((list) => window.longTasks.push(...list.getEntries().map((entry) => Math.round(entry.duration))));
    window.longTaskObserver.observe({ type: 'longtask' });
  });
  const client = await page.context().browser().newBrowserCDPSession();
  const events = [];
  client.on('Tracing.dataCollected', ({ value }) => events.push(...value));
  await client.send('Tracing.start', { transferMode: 'ReportEvents', traceConfig: { includedCategories: ['toplevel', 'blink.user_timing', '__metadata'] } });
  await page.evaluate(() => performance.mark('watched page'));
  return {
    async end() {
      const ended = new Promise((resolve) => client.once('Tracing.tracingComplete', resolve));
      await client.send('Tracing.end');
      await ended;
      await client.detach();
      const mark = events.find(({ name, cat }) => name === 'watched page' && cat.includes('user_timing'));
      const tasks = events.filter(({ name, pid, tid, dur }) => name === 'ThreadControllerImpl::RunTask' && pid === mark.pid && tid === mark.tid && dur);
      const longest = (field) => Math.round(tasks.reduce((most, task) => Math.max(most, task[field] ?? 0), 0) / 100) / 10;
      return { long: await page.evaluate(() => window.longTasks), longestMs: longest('dur'), longestCpuMs: longest('tdur'), tasks: tasks.length };
    },
  };
}

/** What it costs this machine to lay out so many of the rows in the page at once: milliseconds of the thread, of three the middle. */
export async function costOfRows(page, count) {
  const costs = [];
  for (let n = 0; n < 3; n += 1) {
    const tasks = await measure(page);
    await page.evaluate((wanted) => {
      const rows = [...document.querySelectorAll('[data-testid=history] [data-seq]')];
      const list = rows[0].parentElement.cloneNode(false);
      for (let at = 0; at < wanted; at += 1) list.append(rows[at % rows.length].cloneNode(true));
      document.body.append(list);
      void list.offsetHeight;
      list.remove();
    }, count);
    costs.push((await tasks.end()).longestCpuMs);
  }
  return costs.sort((a, b) => a - b)[1];
}

/** Turns the wheel and waits for a frame; gives a text that is the same as long as nothing moves. */
export async function turnWheel(page, distance) {
  await page.mouse.wheel(0, distance);
  return page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => {
    const scroller = document.querySelector('[data-testid=history]');
    resolve(`${scroller.scrollTop} ${scroller.querySelector('[data-seq]').dataset.seq}`);
  })));
}
