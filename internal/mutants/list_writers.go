package main

var writerMutants = []mutant{}
var copyMutants = []mutant{}
var deviceMutants = []mutant{}
var cacheMutants = []mutant{}
var commandMutants = []mutant{}
