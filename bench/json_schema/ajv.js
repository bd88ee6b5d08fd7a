// How long ajv takes to validate each document, for bench/json_schema/verdicts.pl.
// usage: node bench/json_schema/ajv.js FOLDER-WITH-NODE-MODULES SCHEMA INSTANCES.jsonl ROUNDS
// Prints the mean of the rounds in nanoseconds, one line for each document. When ajv cannot compile the
// schema, prints why and ends with status 3.
const { readFileSync } = require('fs');
const { createRequire } = require('module');
const [folder, schemaFile, instancesFile, rounds] = process.argv.slice(2);
const load = createRequire(`${folder}/package.json`);
const schema = JSON.parse(readFileSync(schemaFile, 'utf8'));
const documents = readFileSync(instancesFile, 'utf8').split('\n').filter((line) => line !== '').map((line) => JSON.parse(line));
const Ajv = load(`ajv${/2020-12/.test(schema.$schema ?? '2020-12') ? '/dist/2020' : /2019-09/.test(schema.$schema) ? '/dist/2019' : ''}`).default;

let validate;
try {
    validate = new Ajv({ strict: false, validateFormats: false, logger: false }).compile(schema);
} catch (error) {
    console.error(String(error)); process.exit(3);
}
for (const document of documents) {
    for (let i = 0; i < 1000; i++) validate(document);
    const start = process.hrtime.bigint();
    for (let i = 0; i < +rounds; i++) validate(document);
    console.log(Number(process.hrtime.bigint() - start) / +rounds);
}
