// Keeps the rules of a style sheet that the given elements and classes need. Reads
// {keep, css} as JSON from standard input; writes CSS to standard output.
import { readFileSync, writeSync } from 'node:fs';
import { PurgeCSS } from 'purgecss';

const { keep, css } = JSON.parse(readFileSync(0, 'utf8'));
const content = [{ raw: keep, extension: 'html' }];
const results = await new PurgeCSS().purge({ content, css, variables: true, keyframes: true, fontFace: true });
const text = Buffer.from(results.map((result) => result.css).join('\n'));
for (let at = 0; at < text.length; ) at += writeSync(1, text, at);
