package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"
)

// The parts of SPDX 2.3 that say which modules are in a program.
type (
	spdxDocument struct {
		SPDXVersion       string             `json:"spdxVersion"`
		DataLicense       string             `json:"dataLicense"`
		SPDXID            string             `json:"SPDXID"`
		Name              string             `json:"name"`
		DocumentNamespace string             `json:"documentNamespace"`
		CreationInfo      spdxCreation       `json:"creationInfo"`
		Packages          []spdxPackage      `json:"packages"`
		Relationships     []spdxRelationship `json:"relationships"`
	}
	spdxCreation struct {
		Created  string   `json:"created"`
		Creators []string `json:"creators"`
	}
	spdxPackage struct {
		SPDXID           string         `json:"SPDXID"`
		Name             string         `json:"name"`
		VersionInfo      string         `json:"versionInfo"`
		DownloadLocation string         `json:"downloadLocation"`
		FilesAnalyzed    bool           `json:"filesAnalyzed"`
		PrimaryPurpose   string         `json:"primaryPackagePurpose,omitempty"`
		LicenseConcluded string         `json:"licenseConcluded"`
		LicenseDeclared  string         `json:"licenseDeclared"`
		CopyrightText    string         `json:"copyrightText"`
		Checksums        []spdxChecksum `json:"checksums,omitempty"`
		ExternalRefs     []spdxRef      `json:"externalRefs,omitempty"`
	}
	spdxChecksum struct {
		Algorithm string `json:"algorithm"`
		Value     string `json:"checksumValue"`
	}
	spdxRef struct {
		Category string `json:"referenceCategory"`
		Type     string `json:"referenceType"`
		Locator  string `json:"referenceLocator"`
	}
	spdxRelationship struct {
		Element string `json:"spdxElementId"`
		Type    string `json:"relationshipType"`
		Related string `json:"relatedSpdxElement"`
	}
)

const noAssertion = "NOASSERTION"

// sbom writes what is in a program, as the program itself says.
func (j *job) sbom(program, platform string) error {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return fmt.Errorf("reading what is in %s: %w", program, err)
	}
	binary, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(binary)
	doc, err := json.MarshalIndent(spdx(info, "belfry-"+j.version+"-"+dashed(platform), j.version, hex.EncodeToString(sum[:]), j.created()), "", " ")
	if err != nil {
		return err
	}
	_, err = j.write("belfry-"+j.version+"-"+dashed(platform)+".spdx.json", append(doc, '\n'))
	return err
}

func spdx(info *debug.BuildInfo, name, version, sum string, created time.Time) spdxDocument {
	doc := spdxDocument{
		SPDXVersion: "SPDX-2.3", DataLicense: "CC0-1.0", SPDXID: "SPDXRef-DOCUMENT", Name: name,
		DocumentNamespace: "https://github.com/belfry-lb/belfry/spdx/" + name + "-" + sum,
		CreationInfo:      spdxCreation{created.Format(time.RFC3339), []string{"Organization: Belfry", "Tool: belfry-release"}},
	}
	root := module(0, info.Main.Path, version)
	root.ExternalRefs = module(0, info.Main.Path, "v"+version).ExternalRefs // of the module, as its tag has it
	root.PrimaryPurpose, root.LicenseDeclared, root.Checksums = "APPLICATION", "Apache-2.0", []spdxChecksum{{"SHA256", sum}}
	doc.Packages = append(doc.Packages, root)
	doc.relate(doc.SPDXID, "DESCRIBES", root.SPDXID)
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		doc.contain(root, module(len(doc.Packages), m.Path, m.Version))
	}
	doc.contain(root, module(len(doc.Packages), "stdlib", strings.TrimPrefix(info.GoVersion, "go")))
	return doc
}

func (d *spdxDocument) contain(root, p spdxPackage) {
	d.Packages = append(d.Packages, p)
	d.relate(root.SPDXID, "CONTAINS", p.SPDXID)
}

func (d *spdxDocument) relate(element, kind, related string) {
	d.Relationships = append(d.Relationships, spdxRelationship{element, kind, related})
}

func module(n int, path, version string) spdxPackage {
	return spdxPackage{
		SPDXID: fmt.Sprintf("SPDXRef-Package-%d", n), Name: path, VersionInfo: version, DownloadLocation: noAssertion,
		LicenseConcluded: noAssertion, LicenseDeclared: noAssertion, CopyrightText: noAssertion,
		ExternalRefs: []spdxRef{{"PACKAGE-MANAGER", "purl", "pkg:golang/" + path + "@" + strings.ReplaceAll(version, "+", "%2B")}},
	}
}
